"""What a server that sees pictures reads in a request, with the checks that it makes."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from stand_in_server import RefusedRequestError

ROLES = ("system", "user", "assistant")
KEYS = {
    "max_completion_tokens",
    "logprobs",
    "max_tokens",
    "media_io_kwargs",
    "messages",
    "model",
    "stream",
    "temperature",
    "stream_options",
}


@dataclass
class SeenRequest:
    """A request that passed every check."""

    texts: list[str] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """Times of the frames of a video, as a server works them out."""


def read_request(body: dict[str, Any]) -> SeenRequest:
    """Read a request; raise `RefusedRequestError` for one that is wrong."""
    require(set(body) <= KEYS, f"unknown fields {set(body) - KEYS}")
    require(isinstance(body["model"], str) and body["model"], "no model")
    limits = [body.get("max_tokens"), body.get("max_completion_tokens")]
    require([limit for limit in limits if limit is not None and limit >= 1], "no limit")
    seen = SeenRequest()
    for message in body["messages"]:
        require(message["role"] in ROLES, "unknown role")
        for part in message["content"]:
            _read_part(part, body, seen)
    return seen


def require(is_right: object, reason: str) -> None:
    if not is_right:
        raise RefusedRequestError(reason)


def _read_part(part: dict[str, Any], body: dict[str, Any], seen: SeenRequest) -> None:
    kind = part["type"]
    require(set(part) == {"type", kind}, f"a part of {set(part)}")
    seen.order.append(kind)
    if kind == "text":
        require(isinstance(part["text"], str) and part["text"], "no text")
        seen.texts.append(part["text"])
    elif kind == "image_url":
        image = part["image_url"]
        require(set(image) == {"url", "detail"}, f"an image of {set(image)}")
        require(image["detail"] in ("low", "high", "auto"), "unknown detail")
        prefix, _, data = image["url"].partition(",")
        require(prefix == "data:image/jpeg;base64", f"an image as {prefix}")
        seen.pictures.append(_read_jpeg(data))
        seen.details.append(image["detail"])
    else:
        require(kind == "video_url", f"unknown part {kind}")
        _read_video(part["video_url"], body, seen)


def _read_video(video: dict[str, Any], body: dict[str, Any], seen: SeenRequest) -> None:
    """Check a list of frames as vLLM does."""
    require(set(video) == {"url"}, f"a video of {set(video)}")
    prefix, _, data = video["url"].partition(",")
    require(prefix == "data:video/jpeg;base64", f"a video as {prefix}")
    told = body["media_io_kwargs"]["video"]
    most = told.get("num_frames", 32)
    require(most != 0, "num_frames must be greater than 0 or -1")
    files = data.split(",")
    files = files if most < 0 else files[:most]
    frames = [_read_jpeg(one) for one in files]
    require(len({frame.shape for frame in frames}) == 1, "frames of several sizes")
    indices, total = told["frames_indices"], told["total_num_frames"]
    require(all(type(index) is int for index in indices), "indices must be integers")
    require(len(indices) == len(frames), "as many indices as frames")
    require(type(total) is int and total >= len(frames), "total_num_frames too small")
    require(told["duration"] >= 0, "duration must not be negative")
    require(indices == sorted(set(indices)) and indices[-1] < total, "wrong indices")
    require(told["do_sample_frames"] is False, "frames would be sampled again")
    seen.pictures.extend(frames)
    seen.times.extend(index / told["fps"] for index in indices)


def _read_jpeg(data: str) -> np.ndarray:
    try:
        content = base64.b64decode(data, validate=True)
        with Image.open(io.BytesIO(content)) as image:
            require(image.format == "JPEG", f"a picture as {image.format}")
            return np.asarray(image.convert("RGB"))
    except (binascii.Error, UnidentifiedImageError) as error:
        raise RefusedRequestError(f"no picture: {error}") from error
