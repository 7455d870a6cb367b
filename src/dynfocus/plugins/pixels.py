"""Frames become the pixel values that a host reads, by the numbers of its processor.

Letters: T frames, H and W of a frame as it was read, h and w as the host reads it.
"""

from __future__ import annotations

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
