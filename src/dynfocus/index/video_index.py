"""A video encoded once: its features, where they came from, small pictures.

Letters: T frames, H and W of a picture, S bytes of a slot.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dynfocus.video import RemoteFile

if TYPE_CHECKING:
    from dynfocus.methods.loops import Look
    from dynfocus.words import TimedText

PICTURE_BYTES = 3072
"""Bytes of every picture; what JPEG leaves free is zero."""

_QUALITIES = (85, 70, 50, 30, 15)


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoIndex:
    """Hold an encoded video; it takes the place of a path in every question."""

    features: Any
    """The question-independent half, for DynFocus `VideoFeatures`."""
    source: str | RemoteFile | None
    """The file it was read from."""
    duration: float
    """Length of the video in seconds."""
    fps: float
    """Frames sampled per second."""
    max_frames: int | None = None
    """At most so many frames were sampled."""
    start: float = 0.0
    """Where the excerpt that was sampled begins, in seconds."""
    end: float | None = None
    """Where it ends; None for the end of the video."""
    stream: int | None = None
    """Number of the stream, where it is not the one that a player shows."""
    thumbnails: NDArray[np.uint8] | Pictures | None = None
    """The sampled frames in small, ``[T, H, W, 3]``."""
    is_world: bool | None = None
    """Whether its frames are FocusWorld's, where nano encoded them."""
    is_from_disk: bool = False
    """Whether it was opened from an index on disk; else the video was read."""
    entry: Path | None = None
    """The file that keeps it, if one does."""
    words: tuple[TimedText, ...] | None = None
    """What was written and said, of a video that came without a file; else None."""
    looks: Sequence[Look] | None = None
    """What each frame is part of, where looks of a loop were joined."""

    def __post_init__(self) -> None:
        if self.thumbnails is None:
            return
        shape = self.thumbnails.shape
        if len(shape) != 4 or shape[0] != self.features.num_frames or shape[3] != 3:
            raise ValueError(
                "thumbnails must have shape [T, H, W, 3] with one entry a frame "
                f"({self.features.num_frames}), got {shape}"
            )

    @property
    def num_frames(self) -> int:
        """Count the sampled frames."""
        return int(self.features.num_frames)

    @property
    def interval(self) -> tuple[float, float]:
        """Where what was sampled begins and ends, in seconds."""
        return self.start, self.duration if self.end is None else self.end

    @property
    def videos(self) -> tuple[VideoIndex, ...]:
        """This video, as the only one that a question is about."""
        return (self,)


@dataclass(frozen=True, eq=False)
class VideoGroup:
    """Several encoded videos that one question is about, in the order of the question."""

    videos: tuple[VideoIndex, ...]
    """The videos, two or more."""

    @property
    def source(self) -> None:
        """No single file, for whoever would look at it again."""
        return

    @property
    def num_frames(self) -> int:
        """Count the sampled frames of all videos."""
        return sum(video.num_frames for video in self.videos)


class Pictures:
    """Look at stored pictures as at an array ``[T, H, W, 3]`` of uint8.

    Args:
        slots: A JPEG picture in each row, followed by zeros, ``[T, S]`` of uint8.
        size: Height and width of the pictures.
    """

    def __init__(self, slots: NDArray[np.uint8], size: tuple[int, int]) -> None:
        self.slots = slots
        self.shape = (len(slots), *size, 3)

    @classmethod
    def of(cls, frames: NDArray[np.uint8]) -> Pictures:
        """Store frames, ``[T, H, W, 3]``, at the best quality that fits a slot."""
        slots = np.zeros((len(frames), PICTURE_BYTES), np.uint8)
        for slot, frame in zip(slots, frames, strict=True):
            data = _compress(frame)
            slot[: len(data)] = np.frombuffer(data, np.uint8)
        height, width = frames.shape[1:3]
        return cls(slots, (height, width))

    def __len__(self) -> int:
        return len(self.slots)

    def take(self, rows: NDArray[np.int64]) -> Pictures:
        """Take some pictures, and decode none."""
        height, width = self.shape[1:3]
        return Pictures(self.slots[rows], (height, width))

    def __getitem__(
        self, index: int | np.integer | Sequence[int] | NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Decode one picture, ``[H, W, 3]``, or several, ``[n, H, W, 3]``."""
        if isinstance(index, int | np.integer):
            return self._decode(self.slots[index])
        chosen = [self._decode(self.slots[i]) for i in np.asarray(index)]
        return np.stack(chosen) if chosen else np.empty((0, *self.shape[1:]), np.uint8)

    def _decode(self, slot: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = self.shape[1:3]
        with Image.open(io.BytesIO(slot.tobytes())) as picture:
            whole = picture.convert("RGB")
        if whole.size != (width, height):
            whole = whole.resize((width, height))
        return np.asarray(whole)


def _compress(frame: NDArray[np.uint8]) -> bytes:
    """Write a JPEG picture that fits a slot: of lower quality, then of fewer pixels."""
    picture = Image.fromarray(frame)
    while True:
        for quality in _QUALITIES:
            file = io.BytesIO()
            picture.save(file, format="JPEG", quality=quality)
            if file.tell() <= PICTURE_BYTES:
                return file.getvalue()
        picture = picture.reduce(2)
