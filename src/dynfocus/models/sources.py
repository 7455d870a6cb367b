"""A video opened for encoding: its frames, its length, its shape.

Letters: T frames, H and W of a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dynfocus.models.dynfocus.frames import read_video
from dynfocus.video import SampledFrames, VideoReader

_MAX_THUMBNAIL_WIDTH = 112
_WINDOW = 64


@dataclass(frozen=True, kw_only=True)
class OpenedVideo:
    """Hold the frames of a video and what is known about the whole of it."""

    sampled: SampledFrames
    source: str | None
    """The file it comes from."""
    duration: float
    """Length in seconds."""
    size: tuple[int, int]
    """Height and width as displayed."""
    damage: str | None = None
    """What of the file could not be decoded, as the reader warned."""


def open_video(
    video: Any,
    *,
    fps: float,
    max_frames: int | None,
    frame_size: int,
    progress: Callable[[int, int], None] | None,
) -> OpenedVideo:
    """Read the frames of a video.

    Args:
        video: A file or frames.
        fps: Frames per second to sample.
        max_frames: At most so many frames, taken evenly.
        frame_size: Side at which a file is decoded, in pixels.
        progress: Called with the frames decoded and the frames in all.

    Returns:
        The frames, and the length and shape of the video.
    """
    if isinstance(video, str | Path):
        reader = VideoReader(video)
        side = (frame_size, frame_size)
        sampled = reader.sample(
            fps=fps, max_frames=max_frames, size=side, progress=progress
        )
        return OpenedVideo(
            sampled=sampled,
            source=str(video),
            duration=reader.duration,
            size=reader.size,
            damage=sampled.damage,
        )
    sampled = read_video(video, fps=fps, max_frames=max_frames, frame_size=frame_size)
    height, width = sampled.frames.shape[1:3]
    return OpenedVideo(
        sampled=sampled,
        source=None,
        duration=float(sampled.times[-1]) + 1 / fps,
        size=(height, width),
    )


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
    height, width = size
    small_width = min(_MAX_THUMBNAIL_WIDTH, frames.shape[2], width)
    small_height = max(1, round(height * small_width / width))
    parts = []
    for start in range(0, len(frames), _WINDOW):
        window = np.ascontiguousarray(frames[start : start + _WINDOW])
        pixels = torch.from_numpy(window).permute(0, 3, 1, 2).float()
        small = F.interpolate(
            pixels, (small_height, small_width), mode="bilinear", antialias=True
        )
        parts.append(small.round().clamp(0, 255).byte().permute(0, 2, 3, 1))
    return torch.cat(parts).contiguous().numpy()
