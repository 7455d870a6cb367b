"""Everything a caller may call a video or an image becomes frames with times.

Letters: T frames, H and W of a frame, S side of the model's frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dynfocus.focus import VideoFeatures, uniform_indices
from dynfocus.focus.features import WINDOW_FRAMES
from dynfocus.index import VideoIndex
from dynfocus.video import SampledFrames, VideoReader

Frame: TypeAlias = Image.Image | NDArray[np.uint8] | Tensor
Video: TypeAlias = (
    str
    | Path
    | VideoReader
    | SampledFrames
    | NDArray[np.uint8]
    | Tensor
    | Sequence[Frame]
    | VideoFeatures
    | VideoIndex
)


def read_video(
    video: Video, *, fps: float, max_frames: int | None, frame_size: int
) -> SampledFrames:
    """Turn whatever a caller calls a video into frames with their times.

    Args:
        video: A file, a `VideoReader`, frames with or without times, or a list of frames.
        fps: Frames per second to sample from a file; the rate that frames without
            times are taken to have.
        max_frames: At most so many frames, taken evenly.
        frame_size: Side of the frames that the model reads; a file is decoded at it.

    Returns:
        Frames of uint8, shape ``[T, H, W, 3]``, and times in seconds, ``[T]``.
    """
    reader = VideoReader(video) if isinstance(video, str | Path) else video
    if isinstance(reader, VideoReader):
        side = (frame_size, frame_size)
        return reader.sample(fps=fps, max_frames=max_frames, size=side)
    if isinstance(video, SampledFrames):
        sampled = SampledFrames(frame_array(video.frames), np.asarray(video.times))
        if len(sampled.frames) != len(sampled.times):
            raise ValueError(
                f"times must have one entry a frame ({len(sampled.frames)}), got "
                f"{len(sampled.times)}"
            )
    else:
        frames = frame_array(video)
        sampled = SampledFrames(frames, np.arange(len(frames), dtype=np.float64) / fps)
    if max_frames is None or len(sampled.frames) <= max_frames:
        return sampled
    keep = uniform_indices(len(sampled.frames), max_frames).numpy()
    return SampledFrames(sampled.frames[keep], sampled.times[keep])


def read_image(image: str | Path | Frame) -> SampledFrames:
    """Turn an image into a video of one frame.

    Args:
        image: A file, a Pillow image or an array ``[H, W, 3]`` of uint8.

    Returns:
        One frame, ``[1, H, W, 3]``, at time 0.
    """
    if isinstance(image, str | Path):
        with Image.open(image) as opened:
            image = opened.convert("RGB")
    return SampledFrames(frame_array([image]), np.zeros(1))


def is_frame(value: object) -> bool:
    """Tell whether a value is one frame: a Pillow image or an array ``[H, W, 3]``."""
    if isinstance(value, Image.Image):
        return True
    return isinstance(value, np.ndarray | Tensor) and value.ndim == 3


def is_video(value: object) -> bool:
    """Tell whether a value is one video, and not a list of videos."""
    if isinstance(value, str | Path | VideoReader | SampledFrames):
        return True
    if isinstance(value, VideoFeatures | VideoIndex):
        return True
    if isinstance(value, np.ndarray | Tensor):
        return value.ndim == 4
    return isinstance(value, list | tuple) and bool(value) and all(map(is_frame, value))


def is_image(value: object) -> bool:
    """Tell whether a value is one image, and not a list of images."""
    return isinstance(value, str | Path) or is_frame(value)


def frame_array(frames: Any) -> NDArray[np.uint8]:
    """Check frames and stack them.

    Args:
        frames: An array or tensor ``[T, H, W, 3]``, or a list of single frames.

    Returns:
        Frames of uint8, shape ``[T, H, W, 3]``, at least one.
    """
    if isinstance(frames, Tensor):
        frames = frames.cpu().numpy()
    if isinstance(frames, list | tuple):
        arrays = [_one_frame(frame) for frame in frames]
        shapes = sorted({array.shape for array in arrays})
        if len(shapes) > 1:
            raise ValueError(
                f"the frames of a video must have one size, got {shapes}; resize them"
            )
        frames = np.stack(arrays) if arrays else np.empty((0, 1, 1, 3), np.uint8)
    array = np.asarray(frames)
    if array.ndim != 4 or array.shape[-1] != 3 or array.dtype != np.uint8:
        raise ValueError(
            "the frames of a video must be uint8 of shape [T, H, W, 3], got "
            f"{array.dtype} of shape {list(array.shape)}"
        )
    if len(array) == 0:
        raise ValueError("a video must have at least one frame, got none")
    return array


def to_pixel_values(
    frames: NDArray[np.uint8],
    *,
    frame_size: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> Tensor:
    """Resize and normalise frames as the vision tower expects them.

    Args:
        frames: Frames of uint8, shape ``[T, H, W, 3]``.
        frame_size: Side of the model's frames, ``S``.
        mean: Mean of each colour, from 0 to 1.
        std: Standard deviation of each colour.

    Returns:
        Pixel values of float32, shape ``[T, 3, S, S]``.
    """
    side = (frame_size, frame_size)
    center = torch.tensor(mean).view(1, 3, 1, 1)
    spread = torch.tensor(std).view(1, 3, 1, 1)
    parts = []
    for start in range(0, len(frames), WINDOW_FRAMES):
        window = np.ascontiguousarray(frames[start : start + WINDOW_FRAMES])
        pixels = torch.from_numpy(window).permute(0, 3, 1, 2).float() / 255
        if pixels.shape[-2:] != side:
            pixels = F.interpolate(pixels, side, mode="bilinear", antialias=True)
        parts.append((pixels - center) / spread)
    return torch.cat(parts)


def _one_frame(frame: Frame) -> NDArray[Any]:
    if isinstance(frame, Image.Image):
        return np.asarray(frame.convert("RGB"))
    return frame.cpu().numpy() if isinstance(frame, Tensor) else np.asarray(frame)
