"""Videos opened for encoding: planned, thinned, then read whole or window by window.

Letters: T frames, H and W of a frame.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dynfocus.errors import UnusableEntryWarning
from dynfocus.focus import VideoFeatures, uniform_indices
from dynfocus.index import Sampling, VideoGroup, VideoIndex
from dynfocus.models.excerpts import open_excerpt, sampling_of, within
from dynfocus.models.options import AskOptions
from dynfocus.video import (
    RemoteFile,
    SampledFrames,
    VideoFile,
    VideoName,
    VideoReader,
    read_video,
)

Video: TypeAlias = (
    VideoName
    | VideoReader
    | SampledFrames
    | NDArray[np.uint8]
    | Tensor
    | Sequence[Any]
    | VideoFeatures
    | VideoIndex
)
"""A file or its address, what reads it, frames ``[T, H, W, 3]`` or a list of frames, or a video that is
encoded."""
Videos: TypeAlias = Video | Sequence[Video] | VideoGroup
"""One video or several."""

Progress = Callable[[int, int], None]
"""Called with the steps done and the steps in all."""

_MAX_THUMBNAIL_WIDTH = 112
_LOOK_PIXELS = 48
"""Longer side of the pictures by which frames to encode are chosen."""
_MOST_PERIODS = 2
"""Sampling periods between key frames up to which they stand for the frames."""


@dataclass(frozen=True, kw_only=True)
class VideoSource:
    """A video of which so many frames are wanted: a file, or frames that are there."""

    duration: float
    """Length in seconds."""
    size: tuple[int, int]
    """Height and width as displayed."""
    num_frames: int
    """How many frames will be read."""
    path: str | RemoteFile | None = None
    """The file it comes from."""
    reader: VideoReader | None = None
    """What reads the file."""
    frames: SampledFrames | None = None
    """The frames, where there is no file."""
    plan: dict[str, Any] = field(default_factory=dict)
    """Which frames of the file are read, as `VideoReader.sample` takes it."""
    sampling: Sampling
    """The same, as it was asked for."""

    @classmethod
    def open(cls, video: Video, options: AskOptions) -> VideoSource:
        """Open a video, and decode nothing.

        Args:
            video: A file, a `VideoReader` or frames.
            options: Which frames are read; ``fps`` is also the rate of frames without
                times.

        Raises:
            ValueError: The excerpt is outside the video, or has no frame.
        """
        video = open_excerpt(video, options)
        sampling = sampling_of(video, options)
        reader = VideoReader(video) if isinstance(video, VideoName) else video
        fps, max_frames = options.fps, options.max_frames
        if isinstance(reader, VideoReader):
            plan: dict[str, Any] = {"fps": fps, "max_frames": max_frames}
            return cls(
                duration=reader.duration,
                size=reader.size,
                num_frames=len(reader.plan_times(**plan)),
                path=source_of(reader.path),
                reader=reader,
                plan=plan,
                sampling=sampling,
            )
        frames = read_video(video, fps=fps, max_frames=None, frame_size=0)
        duration = frames.duration or float(frames.times[-1]) + 1 / fps
        frames = within(frames, options, duration)
        frames = read_video(frames, fps=fps, max_frames=max_frames, frame_size=0)
        return cls(
            duration=duration,
            size=(frames.frames.shape[1], frames.frames.shape[2]),
            num_frames=len(frames.frames),
            frames=frames,
            sampling=sampling,
        )

    def index(self, features: Any, thumbnails: NDArray[np.uint8]) -> VideoIndex:
        """Put together what was encoded of the frames, and where they came from."""
        return VideoIndex(
            features=features,
            source=self.path,
            duration=self.duration,
            fps=self.sampling.fps,
            max_frames=self.sampling.max_frames,
            start=self.sampling.start or 0.0,
            end=self.sampling.end,
            stream=self.sampling.stream,
            thumbnails=thumbnails,
        )

    def thin(self, num_frames: int) -> VideoSource:
        """Want fewer frames, taken evenly."""
        if num_frames >= self.num_frames:
            return self
        frames = self.frames
        if frames is not None:
            rows = uniform_indices(len(frames.frames), num_frames).numpy()
            frames = frames.take(rows)
        plan = {"num_frames": num_frames}
        return replace(self, num_frames=num_frames, frames=frames, plan=plan)

    def read(
        self,
        size: tuple[int, int],
        progress: Progress | None = None,
        *,
        fast: bool = False,
    ) -> SampledFrames:
        """Read the frames; those of a file are decoded at a height and width."""
        if self.reader is None:
            assert self.frames is not None  # one of both is there
            return self.frames
        return self.reader.sample(size=size, progress=progress, fast=fast, **self.plan)

    def read_unlike(
        self,
        max_encoded_frames: int,
        size: tuple[int, int],
        progress: Progress | None = None,
        *,
        frames_per_step: int = 1,
    ) -> SampledFrames:
        """Read all frames, and leave those to encode: of what looks unlike, each some.

        Of a file that has a key frame for every second frame at least, key frames stand
        for the others: what is between them need not be decoded.

        Args:
            max_encoded_frames: At most so many, fewer than there are.
            size: Height and width to read those of a file at.
            progress: Called with frames read and frames in all.
            frames_per_step: Frames that follow each other and stay together.
        """
        seen = self.read(
            size, progress, fast=self._has_dense_key_frames(max_encoded_frames)
        )
        _, different = np.unique(seen.times, return_index=True)
        num_steps = max(1, max_encoded_frames // frames_per_step)
        rows = unlike_frames(seen.take(different), num_steps, frames_per_step)
        rows = rows[:max_encoded_frames]
        chosen = seen.take(different[rows])
        chosen.damage = seen.damage
        return chosen

    def _has_dense_key_frames(self, num_wanted: int) -> bool:
        """Tell whether key frames are as many as wanted, and none far from the next."""
        if self.reader is None:
            return False
        keys, wanted = self.reader.key_times, self.reader.plan_times(**self.plan)
        gaps = np.diff([self.reader.start, *keys, self.reader.end])
        period = (self.reader.end - self.reader.start) / len(wanted)
        return len(keys) >= num_wanted and gaps.max() <= _MOST_PERIODS * period

    def thin_unlike(
        self, max_encoded_frames: int, frames_per_step: int = 1
    ) -> VideoSource:
        """Want those frames alone that `read_unlike` leaves, chosen by small pictures."""
        if max_encoded_frames >= self.num_frames:
            return self
        from dynfocus.methods.image_features import fit_size  # not for an indexed video

        chosen = self.read_unlike(
            max_encoded_frames,
            fit_size(self.size, _LOOK_PIXELS),
            frames_per_step=frames_per_step,
        )
        frames = None if self.frames is None else chosen
        plan = {"times": chosen.times}
        return replace(self, num_frames=len(chosen.times), frames=frames, plan=plan)

    def stream(self, frames_at_a_time: int) -> Iterator[SampledFrames]:
        """Read the frames as they are displayed, a few at a time."""
        if self.reader is None:
            assert self.frames is not None  # one of both is there
            return iter([self.frames])
        times = self.reader.plan_times(**self.plan)
        return self.reader.stream(times=times, frames_at_a_time=frames_at_a_time)


def unlike_frames(
    seen: SampledFrames, num_steps: int, frames_per_step: int = 1
) -> NDArray[np.int64]:
    """Choose frames: one of every stretch that looks unlike the one before, then more.

    Args:
        seen: Different frames in order of time.
        num_steps: How many to choose.
        frames_per_step: Frames that follow each other and are chosen together, as the
            first of them looks.

    Returns:
        Increasing positions of the chosen frames.
    """
    from dynfocus.methods.frame_selection import as_selector_input
    from dynfocus.methods.image_features import fit_size, shrink
    from dynfocus.methods.selectors.events import cover_events

    rows = np.arange(len(seen.times))
    first = seen.take(rows[::frames_per_step])
    if num_steps >= len(first.times):
        return rows
    small = fit_size(first.frames.shape[1:3], _LOOK_PIXELS)
    pictures = shrink(first.frames, small)
    given = as_selector_input(SampledFrames(pictures, first.times), None)
    chosen = cover_events(given, num_steps)[:, None] * frames_per_step
    together = (chosen + np.arange(frames_per_step)).ravel()
    return together[together < len(rows)]


def source_of(file: VideoFile) -> str | RemoteFile:
    """Give what an index names as its source."""
    return file if isinstance(file, RemoteFile) else str(file)


def kept_file(video: Video) -> VideoFile | None:
    """Give the file by which an index on disk knows a video; None if it cannot.

    What a server gives without naming its version is not kept, with a warning.
    """
    file = video.path if isinstance(video, VideoReader) else video
    if isinstance(file, Path):
        return file if file.is_file() else None
    if not isinstance(file, RemoteFile):
        return None
    if file.identity is None:
        warnings.warn(
            f"{file}: its server says neither ETag nor Last-Modified of it, so a change "
            "could not be noticed: it is not kept in the index, and read again each time",
            UnusableEntryWarning,
            stacklevel=4,
        )
        return None
    return file


def make_thumbnails(
    frames: NDArray[np.uint8], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Shrink frames to small pictures in the shape of the video.

    Args:
        frames: Frames of uint8, shape ``[T, H, W, 3]``, of any shape.
        size: Height and width of the video as displayed.

    Returns:
        Pictures of uint8, at most 112 pixels wide and no wider than the frames.
    """
    from dynfocus.methods.image_features import shrink  # not for an indexed video

    height, width = size
    small_width = min(_MAX_THUMBNAIL_WIDTH, frames.shape[2], width)
    small_height = max(1, round(height * small_width / width))
    return shrink(frames, (small_height, small_width))
