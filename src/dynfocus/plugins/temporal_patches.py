"""Pairs of frames as one patch in time, as the Qwen families read them.

Letters: T frames, S pairs, h and w of a frame in pixels.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

_MOST_ASPECT = 200


def temporal_size(numbers: Mapping[str, Any]) -> int:
    """Read how many frames make one patch in time."""
    return int(numbers["temporal_patch_size"])


def pixel_bounds(numbers: Mapping[str, Any]) -> tuple[int, int]:
    """Read the least and the most pixels, whichever way they are written."""
    size = numbers.get("size") or {}
    least = numbers.get("min_pixels") or size.get("shortest_edge")
    most = numbers.get("max_pixels") or size.get("longest_edge")
    return int(least or 0), int(most or 0)


def fit_pixels(
    own: tuple[int, int], factor: int, least: float, most: float, depth: int = 1
) -> tuple[int, int]:
    """Round both sides to a factor and keep the pixels in bounds.

    Args:
        own: Height and width of a frame.
        factor: What both sides become multiples of.
        least: Fewest pixels, in all ``depth`` frames.
        most: Most pixels, in all ``depth`` frames.
        depth: Frames that share the bounds.

    Returns:
        Height and width.
    """
    height, width = own
    if max(own) > _MOST_ASPECT * min(own):
        raise ValueError(
            f"frames of {height} x {width} pixels are too long and narrow for the host, "
            f"which takes shapes up to {_MOST_ASPECT} to 1; crop the video"
        )
    rounded = round(height / factor) * factor, round(width / factor) * factor
    pixels = depth * rounded[0] * rounded[1]
    if pixels > most:
        scale = math.sqrt(depth * height * width / most)
        return (
            max(factor, math.floor(height / scale / factor) * factor),
            max(factor, math.floor(width / scale / factor) * factor),
        )
    if pixels < least:
        scale = math.sqrt(least / (depth * height * width))
        return (
            math.ceil(height * scale / factor) * factor,
            math.ceil(width * scale / factor) * factor,
        )
    return rounded


def enlarge_to(own: tuple[int, int], factor: int) -> tuple[int, int]:
    """Enlarge a frame whose shorter side is below a factor, in its shape."""
    scale = max(1.0, factor / min(own))
    return int(own[0] * scale), int(own[1] * scale)


def cut_patches(pixels: Tensor, numbers: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Cut frames into the flat patches that the tower reads.

    Args:
        pixels: Frames, shape ``[T, 3, h, w]``; an odd last frame is doubled.
        numbers: Those of the processor.

    Returns:
        Patches in a row, and how many there are in time, height and width, ``[1, 3]``.
    """
    size, merge = int(numbers["patch_size"]), int(numbers["merge_size"])
    depth = temporal_size(numbers)
    missing = -len(pixels) % depth
    if missing:
        pixels = torch.cat([pixels, pixels[-1:].expand(missing, -1, -1, -1)])
    steps = len(pixels) // depth
    rows, columns = pixels.shape[2] // size, pixels.shape[3] // size
    grid = pixels.reshape(
        steps, depth, 3, rows // merge, merge, size, columns // merge, merge, size
    )
    patches = grid.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    flat = patches.reshape(steps * rows * columns, 3 * depth * size * size)
    return flat, torch.tensor([[steps, rows, columns]])


def step_seconds(frame_seconds: Tensor, depth: int) -> float:
    """Give the mean time from one pair to the next.

    Args:
        frame_seconds: Times of the frames of each pair, shape ``[S, depth]``.
        depth: Frames of a pair.
    """
    times = frame_seconds.numpy()
    if len(times) > 1:
        return float((times[-1, 0] - times[0, 0]) / (len(times) - 1))
    gaps = np.diff(times[0])
    return float(depth * gaps[0]) if len(gaps) and gaps[0] > 0 else float(depth)


def rope_positions(
    model: Any, ids: Tensor, video_token_id: int, **grids: Any
) -> Tensor:
    """Ask the host for the time, row and column of every token.

    Args:
        model: The host, without its head.
        ids: The prompt with every placeholder, shape ``[1, L]``.
        video_token_id: The placeholder.
        **grids: ``video_grid_thw`` and what else the host's function takes.

    Returns:
        Positions, shape ``[4, 1, L]``: that of the text first, as ``generate`` has it.
    """
    accepted = inspect.signature(model.get_rope_index).parameters
    if "mm_token_type_ids" in accepted:
        grids["mm_token_type_ids"] = (ids == video_token_id).int() * 2
    vision, _ = model.get_rope_index(ids, **grids)
    text = torch.arange(ids.shape[1], device=ids.device).view(1, 1, -1)
    return torch.cat([text, vision.to(text)])


def check_patches(numbers: Mapping[str, Any], vision: Any) -> None:
    """Refuse a processor whose patches are not those of the tower."""
    wanted = {
        "patch_size": vision.patch_size,
        "temporal_patch_size": vision.temporal_patch_size,
        "merge_size": vision.spatial_merge_size,
    }
    for name, value in wanted.items():
        if numbers[name] != value:
            raise ValueError(
                f"the processor has {name} {numbers[name]}, the model {value}; load both "
                "from one folder"
            )
