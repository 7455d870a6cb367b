"""Frames become the pixels or patches that a host reads, by its processor's numbers.

The Qwen families read pairs of frames as one patch in time.

Letters: T frames, S pairs, H and W of a frame as it was read, h and w as the host reads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

_LANCZOS, _BILINEAR, _BICUBIC = 1, 2, 3
_MOST_ASPECT = 200
_MODES = {_LANCZOS: "lanczos", _BILINEAR: "bilinear", _BICUBIC: "bicubic"}


@dataclass(frozen=True, kw_only=True)
class PixelPlan:
    """Say how frames of one size become pixel values."""

    sizes: tuple[tuple[int, int], ...]
    """Heights and widths that a frame is resized to, one after another."""
    crop: tuple[int, int] | None = None
    """Height and width that are cut out of its centre."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    rescale_factor: float = 1 / 255
    resample: int = _BICUBIC
    """The filter, by Pillow's number."""

    @classmethod
    def of(
        cls,
        numbers: Mapping[str, Any],
        sizes: tuple[tuple[int, int], ...],
        crop: tuple[int, int] | None = None,
    ) -> PixelPlan:
        """Take the colours and the filter from a processor's numbers."""
        return cls(
            sizes=sizes,
            crop=crop,
            mean=tuple(map(float, numbers["image_mean"])),
            std=tuple(map(float, numbers["image_std"])),
            rescale_factor=float(numbers.get("rescale_factor", 1 / 255)),
            resample=int(numbers.get("resample", _BICUBIC)),
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as the host reads them, ``(h, w)``."""
        return self.crop or self.sizes[-1]


def to_pixels(frames: NDArray[np.uint8], plan: PixelPlan) -> Tensor:
    """Resize, crop and normalise frames as transformers' video processors do.

    Args:
        frames: Frames of uint8, shape ``[T, H, W, 3]``.
        plan: The plan for frames of this size.

    Returns:
        Pixel values of float32, shape ``[T, 3, h, w]``.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    for size in plan.sizes:
        pixels = _resize(pixels, size, plan.resample)
    if plan.crop is not None:
        pixels = _crop(pixels, plan.crop)
    mean = torch.tensor(plan.mean).view(1, 3, 1, 1) * (1 / plan.rescale_factor)
    std = torch.tensor(plan.std).view(1, 3, 1, 1) * (1 / plan.rescale_factor)
    return pixels.float().sub_(mean).div_(std).contiguous()


def shortest_edge_size(own: tuple[int, int], shortest: int) -> tuple[int, int]:
    """Give the size at which the shorter side has a length and the shape is kept."""
    short, long = sorted(own)
    longer = int(shortest * long / short)
    return (shortest, longer) if own[0] <= own[1] else (longer, shortest)


def square_or_given(numbers: Mapping[str, Any]) -> tuple[int, int]:
    """Read the fixed height and width of a processor's ``size``."""
    size = numbers["size"]
    if "height" in size:
        return int(size["height"]), int(size["width"])
    side = int(size["shortest_edge"])
    return side, side


def shortest_and_crop(
    numbers: Mapping[str, Any], own: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Read where the shorter side is resized to, and the crop after it."""
    size, crop = numbers["size"], numbers["crop_size"]
    resized = (
        shortest_edge_size(own, int(size["shortest_edge"]))
        if "shortest_edge" in size
        else (int(size["height"]), int(size["width"]))
    )
    return resized, (int(crop["height"]), int(crop["width"]))


def check_side(size: tuple[int, int], vision: Any) -> None:
    """Refuse frames of another size than the tower's."""
    side = vision.image_size
    wanted = tuple(side) if isinstance(side, list | tuple) else (side, side)
    if tuple(size) != wanted:
        raise ValueError(
            f"the processor makes frames of {size[0]} x {size[1]} pixels, the model reads "
            f"{wanted[0]} x {wanted[1]}; load both from one folder"
        )


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


def _resize(pixels: Tensor, size: tuple[int, int], resample: int) -> Tensor:
    if tuple(pixels.shape[-2:]) == size:
        return pixels
    if resample not in _MODES:
        raise ValueError(
            f"resample must be 1 (Lanczos), 2 (bilinear) or 3 (bicubic), got {resample}; "
            "set it in the processor"
        )
    try:
        return F.interpolate(pixels, size, mode=_MODES[resample], antialias=True)
    except (NotImplementedError, ValueError):
        if resample != _LANCZOS:
            raise
    pictures = [  # an older torch has no such filter
        Image.fromarray(frame.permute(1, 2, 0).numpy()).resize(
            size[::-1], Image.Resampling.LANCZOS
        )
        for frame in pixels
    ]
    stacked = np.stack([np.asarray(picture) for picture in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)


def _crop(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = pixels.shape[-2:]
    if height < size[0] or width < size[1]:
        raise ValueError(
            f"frames of {height} x {width} pixels cannot be cropped to {size[0]} x "
            f"{size[1]}; correct size and crop_size of the processor"
        )
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return pixels[..., top : top + size[0], left : left + size[1]]
