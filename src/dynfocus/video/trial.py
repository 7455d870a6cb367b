"""Whether a video decodes: some of its frames or all, and what they are like."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dynfocus.errors import (
    ChangedSizeWarning,
    DamagedVideoWarning,
    UnreadableVideoError,
)
from dynfocus.video.collecting import SampledFrames
from dynfocus.video.files import VideoName
from dynfocus.video.frames import even_indices
from dynfocus.video.reader import VideoReader
from dynfocus.video.timeline import Timeline

# Frames that are decoded to see whether a file can be used, and how small.
_NUM_FRAMES, _NUM_KEY_FRAMES = 3, 8
_SIDE = 8


@dataclass(frozen=True, kw_only=True)
class MediumTrial:
    """What opening a file showed."""

    problem: str | None = None
    """Why it cannot be read."""
    damage: str | None = None
    """What is wrong with it though it can be read."""
    seconds: float | None = None
    """Length of a video."""


@dataclass(frozen=True, kw_only=True)
class FrameTrial:
    """What decoding frames of a video showed."""

    num_frames: int
    """Frames that were decoded, or should have been."""
    damage: str | None
    """What could not be decoded, or may show damage; None if nothing."""
    num_interlaced: int
    """Frames that hold two fields, a moment each."""
    sizes: list[tuple[int, int]]
    """Heights and widths of the pictures as stored, in order of appearance."""


def try_video(path: VideoName, *, is_full: bool = False) -> MediumTrial:
    """Open a video and decode some of it.

    Args:
        path: The file or its address.
        is_full: Decode a frame of every second, not three frames in all.

    Returns:
        What it showed; a file that cannot be read is no error here.
    """
    plan = {"fps": 1.0} if is_full else {"num_frames": _NUM_FRAMES}
    try:
        reader = VideoReader(path)
        sampled = _sample(reader, **plan)
    except (OSError, ValueError) as error:
        return MediumTrial(problem=" ".join(str(error).split()))
    return MediumTrial(damage=sampled.damage, seconds=reader.duration)


def try_frames(
    reader: VideoReader,
    *,
    is_full: bool,
    progress: Callable[[int, int], None] | None,
) -> FrameTrial:
    """Decode some key frames of a video, or all its frames.

    Args:
        reader: The video.
        is_full: Decode every frame; else a few key frames, which need no other.
        progress: Called with the number of frames decoded and in all.
    """
    timeline = reader.timeline
    times = timeline.pts_seconds if is_full else _key_times(timeline)
    try:
        sampled = _sample(reader, times=times, progress=progress)
    except UnreadableVideoError as error:
        return FrameTrial(
            num_frames=len(times), damage=str(error), num_interlaced=0, sizes=[]
        )
    return FrameTrial(
        num_frames=len(times),
        damage=sampled.damage,
        num_interlaced=int(sampled.is_interlaced.sum()),
        sizes=list(dict.fromkeys((int(h), int(w)) for h, w in sampled.stored_sizes)),
    )


def _sample(reader: VideoReader, **plan: Any) -> SampledFrames:
    """Decode frames, small, and keep what is wrong with them to ourselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideoWarning)
        warnings.simplefilter("ignore", ChangedSizeWarning)
        return reader.sample(size=(_SIDE, _SIDE), **plan)


def _key_times(timeline: Timeline) -> Any:
    """Choose some key frames evenly; where there are none, some frames."""
    is_key = np.isin(timeline.packets, timeline.key_packets)
    times = timeline.pts_seconds[is_key] if is_key.any() else timeline.pts_seconds
    return times[even_indices(len(times), min(_NUM_KEY_FRAMES, len(times)))]
