"""Videos and pictures that a server's model is asked about, each in its place."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from dynfocus.backends.frame_budget import FrameSizes
from dynfocus.backends.openai import FrameRequest
from dynfocus.methods import fit_size
from dynfocus.methods.image_features import shrink
from dynfocus.models.conversation import FrameReport
from dynfocus.models.options import AskOptions
from dynfocus.report.frame_sheets import encode_jpeg
from dynfocus.text import label_media
from dynfocus.video import SampledFrames, VideoReader


@dataclass(frozen=True)
class ShownMedia:
    """What a question is about, in the order in which it was given."""

    media: tuple[VideoReader | SampledFrames, ...]
    """What reads each video; a picture is one frame."""
    sizes: FrameSizes
    """How large frames are sent; a picture is sent as a Cone."""

    @classmethod
    def open(
        cls, media: Sequence[Any], asked: AskOptions, sizes: FrameSizes
    ) -> ShownMedia:
        """Open files, of which the excerpt of the options is read.

        Raises:
            ValueError: Frames are more than one picture, or a file cannot be read.
        """
        return cls(tuple(_open(one, asked) for one in media), sizes)

    @cached_property
    def readers(self) -> dict[int, VideoReader]:
        """What reads the videos, by their places."""
        found = enumerate(self.media)
        return {place: one for place, one in found if isinstance(one, VideoReader)}

    @cached_property
    def pictures(self) -> list[FrameReport]:
        """What is told of the pictures, which are all sent."""
        return [
            FrameReport(
                index=0,
                time=0.0,
                score=1.0,
                kind="cone",
                tokens=self.sizes.cost(_size_of(one), "cone"),
                video=place,
            )
            for place, one in enumerate(self.media)
            if isinstance(one, SampledFrames)
        ]

    @property
    def picture_tokens(self) -> int:
        """What the pictures take, estimated."""
        return sum(one.tokens for one in self.pictures)

    def add_pictures(self, made: FrameRequest) -> FrameRequest:
        """Put the pictures before the frames and the question of a request."""
        shown = [one for one in self.media if isinstance(one, SampledFrames)]
        if not shown:
            return made
        parts: list[dict[str, Any]] = []
        num_pixels = made.num_pixels
        for label, one in zip(label_media(len(shown), "Picture"), shown, strict=True):
            own = _size_of(one)
            size = fit_size(own, min(self.sizes.cone_pixels, max(own)))
            num_pixels += size[0] * size[1]
            file = encode_jpeg(shrink(one.frames, size)[0])
            url = f"data:image/jpeg;base64,{base64.b64encode(file).decode('ascii')}"
            parts.append({"type": "text", "text": label.strip() or "A picture:"})
            image = {"url": url, "detail": "high"}
            parts.append({"type": "image_url", "image_url": image})
        (message,) = made.body["messages"]
        message = {**message, "content": [*parts, *message["content"]]}
        body = {**made.body, "messages": [message]}
        return replace(
            made,
            body=body,
            num_pictures=made.num_pictures + len(shown),
            num_pixels=num_pixels,
        )


def _size_of(picture: SampledFrames) -> tuple[int, int]:
    height, width = picture.frames.shape[1:3]
    return height, width


def _open(video: Any, asked: AskOptions) -> VideoReader | SampledFrames:
    if isinstance(video, SampledFrames) and len(video.frames) > 1:
        raise ValueError(
            f"a server is asked about files and pictures, got {len(video.frames)} frames; "
            "write them to a file with dynfocus.video.VideoWriter"
        )
    if isinstance(video, VideoReader | SampledFrames):
        return video
    return VideoReader(video, start=asked.start, end=asked.end, stream=asked.stream)
