"""Frames that a caller holds: arrays, tensors of torch and pictures of Pillow.

Letters: T frames, H and W of a frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynfocus.video.collecting import SampledFrames
from dynfocus.video.confinement import current_confinement
from dynfocus.video.files import VideoFile, VideoName, as_file
from dynfocus.video.reader import VideoReader


def read_video(
    video: Any, *, fps: float, max_frames: int | None, frame_size: int
) -> SampledFrames:
    """Turn whatever a caller calls a video into frames with their times.

    Args:
        video: A file or its address, a `VideoReader`, frames with or without times, or a
            list of frames.
        fps: Frames per second to sample from a file; the rate that frames without
            times are taken to have.
        max_frames: At most so many frames, taken evenly.
        frame_size: Side of the frames that the model reads; a file is decoded at it.

    Returns:
        Frames of uint8, shape ``[T, H, W, 3]``, and times in seconds, ``[T]``.
    """
    reader = VideoReader(video) if isinstance(video, VideoName) else video
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
        sampled.is_high, sampled.duration = video.is_high, video.duration
    else:
        frames = frame_array(video)
        sampled = SampledFrames(frames, np.arange(len(frames), dtype=np.float64) / fps)
    if max_frames is None or len(sampled.frames) <= max_frames:
        return sampled
    keep = even_indices(len(sampled.frames), max_frames)
    return sampled.take(keep)


def read_image(image: Any) -> SampledFrames:
    """Turn an image into a video of one frame.

    Args:
        image: A file or its address, a Pillow image or an array ``[H, W, 3]`` of uint8.

    Returns:
        One frame, ``[1, H, W, 3]``, at time 0.
    """
    if isinstance(image, VideoName):
        confinement = current_confinement()
        read = _read_file if confinement is None else confinement.read_image
        image = read(as_file(image))
    return SampledFrames(frame_array([image]), np.zeros(1))


def _read_file(file: VideoFile) -> Any:
    from PIL import Image  # a file alone needs it

    with file.open("rb") as stream, Image.open(stream) as opened:
        return opened.convert("RGB")


def is_frame(value: Any) -> bool:
    """Tell whether a value is one frame: a picture or an array ``[H, W, 3]``."""
    return _is_picture(value) or count_dimensions(value) == 3


def count_dimensions(value: Any) -> int:
    """Count the dimensions of an array or a tensor; 0 for anything else."""
    shape = getattr(value, "shape", None)
    return 0 if shape is None else len(shape)


def frame_array(frames: Any) -> NDArray[np.uint8]:
    """Check frames and stack them.

    Args:
        frames: An array or tensor ``[T, H, W, 3]``, or a list of single frames.

    Returns:
        Frames of uint8, shape ``[T, H, W, 3]``, at least one.
    """
    if isinstance(frames, list | tuple):
        arrays = [_array(frame) for frame in frames]
        shapes = sorted({array.shape for array in arrays})
        if len(shapes) > 1:
            raise ValueError(
                f"the frames of a video must have one size, got {shapes}; resize them"
            )
        frames = np.stack(arrays) if arrays else np.empty((0, 1, 1, 3), np.uint8)
    array = _array(frames)
    if array.ndim != 4 or array.shape[-1] != 3 or array.dtype != np.uint8:
        raise ValueError(
            "the frames of a video must be uint8 of shape [T, H, W, 3], got "
            f"{array.dtype} of shape {list(array.shape)}"
        )
    if len(array) == 0:
        raise ValueError("a video must have at least one frame, got none")
    return array


def even_indices(num_frames: int, num_keep: int) -> NDArray[np.int64]:
    """Choose frames evenly: the middles of equal stretches, shape ``[num_keep]``."""
    return (2 * np.arange(num_keep, dtype=np.int64) + 1) * num_frames // (2 * num_keep)


def _is_picture(value: Any) -> bool:
    """Tell whether a value is a picture of Pillow, which need not be imported for it."""
    return hasattr(value, "convert") and hasattr(value, "size")


def _array(value: Any) -> NDArray[Any]:
    if _is_picture(value):
        return np.asarray(value.convert("RGB"))
    return np.asarray(value.cpu() if hasattr(value, "cpu") else value)
