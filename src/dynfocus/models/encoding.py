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
        self, size: tuple[int, int], progress: Progress | None = None
    ) -> SampledFrames:
        """Read the frames; those of a file are decoded at a height and width."""
        if self.reader is None:
            assert self.frames is not None  # one of both is there
            return self.frames
        return self.reader.sample(size=size, progress=progress, **self.plan)

    def stream(self, frames_at_a_time: int) -> Iterator[SampledFrames]:
        """Read the frames as they are displayed, a few at a time."""
        if self.reader is None:
            assert self.frames is not None  # one of both is there
            return iter([self.frames])
        times = self.reader.plan_times(**self.plan)
        return self.reader.stream(times=times, frames_at_a_time=frames_at_a_time)


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
