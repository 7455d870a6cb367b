"""Chosen frames as a request that any OpenAI-compatible server understands.

Three layouts: every frame as a picture, Cones large and Rods small; Cones as pictures and
Rods on contact sheets; or all frames as one video, which vLLM takes as a list of JPEG
files with their true times. A fourth sends the file, and our reader inside vLLM chooses.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dynfocus.backends.client import Server
from dynfocus.backends.frame_budget import LAYOUTS, FrameSizes, Layout
from dynfocus.methods import FrameSelection
from dynfocus.models.conversation import Turn
from dynfocus.report.frame_sheets import FrameSheet, draw_frame_sheets, encode_jpeg
from dynfocus.report.pages import format_time
from dynfocus.text import check_choice, label_media
from dynfocus.video import RemoteFile, VideoFile, VideoReader
from dynfocus.video.plan import number_frames
from dynfocus.words.telling import tell_words

_BYTES_PER_TOKEN = 4
_OWN_HOSTS = ("openai.com", "openai.azure.com")


@dataclass(frozen=True, kw_only=True)
class FrameRequest:
    """A request with the chosen frames, and what it costs."""

    body: dict[str, Any]
    """The body for ``/v1/chat/completions``."""
    num_pictures: int
    """Pictures in it; frames of a video count each."""
    num_pixels: int
    """Pixels of all pictures."""
    word_tokens: int = 0
    """Tokens of words that were read in the video, estimated."""
    sent: tuple[FrameSelection, ...] = ()
    """The frames in it, one entry a video; those that made room for words are not."""


def frame_request(
    selection: FrameSelection | Sequence[FrameSelection],
    model: str,
    *,
    layout: Layout = "sheets",
    sizes: FrameSizes | None = None,
    max_new_tokens: int = 512,
    server: Server | None = None,
    word_share: float = 0.25,
) -> FrameRequest:
    """Write the request that asks the question about the chosen frames.

    The pictures come first and in time order, each after a line that says its time; the
    question comes last. Several videos follow each other, each behind its number. Words
    that a scorer found stand after the pictures of their video; frames of the lowest
    ranks make room for them, counted as a token for 784 pixels or four characters.

    Args:
        selection: The chosen frames; of several videos a list of selections for one
            question.
        model: Name of a model that sees, at the server.
        layout: ``"images"``, ``"sheets"``, or ``"video"``, for vLLM alone.
        sizes: How large the frames are sent.
        max_new_tokens: At most so many tokens in the answer.
        server: Where it will go. OpenAI's own servers name the limit of the answer in
            another way and do not all take a temperature.
        word_share: At most this part of what the frames would cost is for words.

    Returns:
        The request.

    Raises:
        ValueError: The layout is not known, or several videos are to be sent as videos,
            or the model has no name.
    """
    sizes = sizes or FrameSizes()
    selections = [selection] if isinstance(selection, FrameSelection) else selection
    check_choice(layout, "layout", LAYOUTS, "; choose one")
    if not model.strip():
        raise ValueError("the model has no name; say what the server calls it")
    check_layout(layout, len(selections))
    shared = [_share_with_words(one, sizes, word_share) for one in selections]
    selections = [one for one, _ in shared]
    writers = [
        _Writer(one, sizes, label)
        for one, label in zip(selections, label_media(len(selections)), strict=True)
    ]
    extra: dict[str, Any] = {}
    for writer, (_, words) in zip(writers, shared, strict=True):
        if layout == "video":
            extra = writer.add_video()
        elif layout == "images":
            writer.add_images()
        else:
            writer.add_sheets()
        if words:
            writer.say(words)
    writers[-1].say(selections[0].question.strip())
    content = [part for writer in writers for part in writer.content]
    body = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        **_limits(server, max_new_tokens),
        **extra,
    }
    return FrameRequest(
        body=body,
        num_pictures=sum(writer.num_pictures for writer in writers),
        num_pixels=sum(writer.num_pixels for writer in writers),
        word_tokens=sum(_estimate_tokens(words) for _, words in shared if words),
        sent=tuple(selections),
    )


def file_request(
    reader: VideoReader,
    question: str,
    budget: int,
    model: str,
    *,
    max_new_tokens: int = 512,
    server: Server | None = None,
) -> FrameRequest:
    """Write the request that sends a video as it is, to a vLLM that has our reader.

    The reader gets the question, so it chooses the frames on the server; see
    `dynfocus.serving.vllm_reader`. A file at an address is fetched by the server itself.

    Args:
        reader: The video, or an excerpt of it.
        question: The question.
        budget: How many frames.
        model: Name of a model that sees, at the server.
        max_new_tokens: At most so many tokens in the answer.
        server: Where it will go.

    Returns:
        The request; what pictures it will have is not known here.
    """
    video = {
        "video_backend": "dynfocus",
        "question": question.strip(),
        "num_frames": min(budget, len(reader.frame_times)),
    }
    if reader.is_excerpt:
        video |= {"start": reader.start, "end": reader.end}
    content = [
        {"type": "video_url", "video_url": {"url": _address(reader.path)}},
        {"type": "text", "text": question.strip()},
    ]
    body = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        **_limits(server, max_new_tokens),
        "media_io_kwargs": {"video": video},
    }
    return FrameRequest(body=body, num_pictures=0, num_pixels=0)


def _address(file: VideoFile) -> str:
    """Give the address of a file, or the file itself as one."""
    if isinstance(file, RemoteFile):
        return file.address
    return f"data:video/mp4;base64,{_base64(file.read_bytes())}"


def _share_with_words(
    selection: FrameSelection, sizes: FrameSizes, share: float
) -> tuple[FrameSelection, str]:
    """Choose the words that fit into their share, and leave out frames for them."""
    if not selection.words:
        return selection, ""
    costs = {kind: sizes.cost(selection.size, kind) for kind in ("cone", "rod")}
    whole = sum(costs[frame.kind] for frame in selection.frames)
    text, _ = tell_words(selection.words, int(share * whole), _estimate_tokens)
    missing = _estimate_tokens(text) if text else 0
    kept = sorted(selection.frames, key=lambda frame: frame.rank)
    while missing > 0 and len(kept) > 1:
        missing -= costs[kept.pop().kind]
    frames = tuple(sorted(kept, key=lambda frame: frame.time))
    return replace(selection, frames=frames), text


def _estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text, whatever the server's model."""
    return math.ceil(len(text.encode()) / _BYTES_PER_TOKEN)


def text_request(
    prompt: str, model: str, max_new_tokens: int, server: Server | None = None
) -> FrameRequest:
    """Write a request without a video.

    Args:
        prompt: What is asked.
        model: Name of the model, at the server.
        max_new_tokens: At most so many tokens in the answer.
        server: Where it will go.
    """
    content = [{"type": "text", "text": prompt.strip()}]
    body = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        **_limits(server, max_new_tokens),
    }
    return FrameRequest(body=body, num_pictures=0, num_pixels=0)


def with_turns(
    content: list[dict[str, Any]], history: Sequence[Turn]
) -> list[dict[str, Any]]:
    """Put earlier turns between the frames and the question.

    Args:
        content: The parts of a message, the question last.
        history: The turns; there is one at least.

    Returns:
        The messages.
    """
    *frames, question = content
    first, *rest = history
    said = [{"type": "text", "text": first.question}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": [*frames, *said]}]
    messages.append({"role": "assistant", "content": first.answer})
    for turn in rest:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.answer})
    return [*messages, {"role": "user", "content": [question]}]


def check_layout(layout: str, num_videos: int) -> None:
    """Refuse to send several videos as videos.

    Args:
        layout: One of `LAYOUTS`, or ``"file"``.
        num_videos: How many videos a question is about.

    Raises:
        ValueError: vLLM takes the times of one video a request.
    """
    if layout in ("video", "file") and num_videos > 1:
        raise ValueError(
            f"layout {layout} sends one video, since vLLM takes the times of one with a "
            f"request, got {num_videos}; use sheets or images"
        )


class _Writer:
    """Write the parts of a message."""

    def __init__(
        self, selection: FrameSelection, sizes: FrameSizes, label: str
    ) -> None:
        self.selection = selection
        self.sizes = sizes
        self.label = label
        self.content: list[dict[str, Any]] = []
        self.num_pictures = 0
        self.num_pixels = 0

    def add_images(self) -> None:
        """Add every frame as a picture, Cones large and Rods small."""
        self._introduce("Large pictures are the frames that matter most.")
        pictures = [
            (time, kind, picture)
            for kind, pixels in self._kinds()
            for time, picture in self.selection.pictures(pixels, kind)
        ]
        for time, kind, picture in sorted(pictures, key=lambda one: one[0]):
            self.say(f"Frame at {_clock(time)}:")
            self._show(picture, "high" if kind == "cone" else "low")

    def add_sheets(self) -> None:
        """Add the Rods on contact sheets, then every Cone as a picture."""
        (_, cone_pixels), (_, rod_pixels) = self._kinds()
        sheets = draw_frame_sheets(*self.selection.read(rod_pixels, "rod"))
        cones = self.selection.pictures(cone_pixels, "cone")
        where = "a contact sheet" if len(sheets) == 1 else "contact sheets"
        how = f"The frames that matter most are shown large, the others small, on {where}."
        if not sheets:
            how = "Each is shown large."
        elif not cones:
            how = f"Each is shown small, on {where}."
        self._introduce(how)
        for number, sheet in enumerate(sheets, 1):
            self.say(_describe_sheet(sheet, number))
            self._show(sheet.picture, "high")
        for time, picture in cones:
            self.say(f"Frame at {_clock(time)}:")
            self._show(picture, "high")

    def add_video(self) -> dict[str, Any]:
        """Add all frames as one video; give what tells their times to vLLM."""
        frames, times = self.selection.read(self.sizes.cone_pixels)
        files = [encode_jpeg(frame) for frame in frames]
        url = "data:video/jpeg;base64," + ",".join(_base64(file) for file in files)
        self.content.append({"type": "video_url", "video_url": {"url": url}})
        self.num_pictures += len(frames)
        self.num_pixels += frames[..., 0].size
        self._introduce(f"They are from {', '.join(_clock(float(t)) for t in times)}.")
        numbers = number_frames(times, self.selection.duration)
        video = {**numbers, "num_frames": len(frames)}
        return {"media_io_kwargs": {"video": video}}

    def say(self, text: str) -> None:
        """Add a part of text."""
        self.content.append({"type": "text", "text": text})

    def _introduce(self, how: str) -> None:
        selection = self.selection
        count = len(selection.frames)
        noun = "frame" if count == 1 else "frames"
        why = "for the question below" if selection.scorer else "to show what happens"
        reader = selection.reader
        part = f"{_clock(reader.start)} to {_clock(reader.end)} of " * reader.is_excerpt
        self.say(
            f"{self.label}{count} {noun} of {part}a video of {_clock(selection.duration)}, "
            f"chosen {why}. "
            f"Times are minutes:seconds. {how}"
        )

    def _show(self, picture: Any, detail: str) -> None:
        url = f"data:image/jpeg;base64,{_base64(encode_jpeg(picture))}"
        image = {"url": url, "detail": detail}
        self.content.append({"type": "image_url", "image_url": image})
        self.num_pictures += 1
        self.num_pixels += picture.shape[0] * picture.shape[1]

    def _kinds(self) -> tuple[tuple[str, int], tuple[str, int]]:
        return ("cone", self.sizes.cone_pixels), ("rod", self.sizes.rod_pixels)


def _describe_sheet(sheet: FrameSheet, number: int) -> str:
    times = ", ".join(_clock(time) for time in sheet.times)
    return (
        f"Contact sheet {number}, in time order row by row, the time under each frame: "
        f"{times}."
    )


def _limits(server: Server | None, max_new_tokens: int) -> dict[str, Any]:
    """Say how long the answer may be, and ask for the likeliest words."""
    host = "" if server is None else server.host
    if any(host == own or host.endswith(f".{own}") for own in _OWN_HOSTS):
        return {"max_completion_tokens": max_new_tokens}
    limits = {"max_tokens": max_new_tokens, "temperature": 0.0}
    return limits if server is None else {**limits, "logprobs": True}


def _clock(seconds: float) -> str:
    return format_time(seconds, with_tenths=True)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
