"""Qwen2.5-VL: pairs of frames, any size, and positions in time, height and width."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from dynfocus.plugins.family import (
    Family,
    FramePlan,
    HostFeatures,
    StepTokens,
    pooled,
)
from dynfocus.plugins.host_pixels import (
    PixelPlan,
    check_patches,
    cut_patches,
    fit_pixels,
    pixel_bounds,
    temporal_size,
)
from dynfocus.plugins.host_processor import HostProcessor


class Qwen25VL(Family):
    """The time of a pair is its position; all pairs are one run of placeholders."""

    model_types = ("qwen2_5_vl",)
    numbers: ClassVar[dict[str, Any]] = {
        "size": {"shortest_edge": 128 * 28 * 28, "longest_edge": 28 * 28 * 768},
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "max_video_tokens": 128000,
        "image_mean": (0.48145466, 0.4578275, 0.40821073),
        "image_std": (0.26862954, 0.26130258, 0.27577711),
    }

    def __init__(self, model: Any, processor: HostProcessor) -> None:
        super().__init__(model, processor)
        self.frames_per_step = temporal_size(self.processor.numbers)

    def plan_frames(self, size: tuple[int, int], num_frames: int) -> FramePlan:
        """Round both sides to whole merged patches, within the processor's pixels."""
        numbers = self.processor.numbers
        factor = numbers["patch_size"] * numbers["merge_size"]
        least, most = pixel_bounds(numbers)
        if numbers.get("cap_pixels_per_frame"):
            total = int(numbers["max_video_tokens"] * factor**2 * 0.9)
            share = total * self.frames_per_step // num_frames
            most = max(min(most, share), int(least * 1.05))
        height, width = fit_pixels(size, factor, least, most)
        return FramePlan(
            pixels=PixelPlan.of(numbers, ((height, width),)),
            grid=(height // factor, width // factor),
        )

    def encode(self, pixels: Tensor) -> StepTokens:
        """Encode pairs of frames."""
        patches, grid = cut_patches(pixels, self.processor.numbers)
        features = pooled(
            self.model.get_video_features(
                patches, video_grid_thw=grid.to(pixels.device)
            )
        )
        return StepTokens(tokens=features.view(int(grid[0, 0]), -1, features.shape[-1]))

    def positions(self, ids: Tensor, video: HostFeatures) -> Tensor:
        """Give the host's own positions, by the mean time between pairs."""
        seconds = step_seconds(video.frame_seconds, self.frames_per_step)
        return rope_positions(self, ids, video, second_per_grid_ts=[seconds])

    def check(self) -> None:
        """Refuse patches of another size than the tower's."""
        check_patches(self.processor.numbers, self.model.config.vision_config)


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
    family: Family, ids: Tensor, video: HostFeatures, **more: Any
) -> Tensor:
    """Ask a host for the time, row and column of every token.

    Args:
        family: The host.
        ids: The prompt with every placeholder, shape ``[1, L]``.
        video: The video.
        **more: What else the host's function takes.

    Returns:
        Positions, shape ``[4, 1, L]``: that of the text first, as ``generate`` has it.
    """
    merge = family.processor.numbers["merge_size"]
    grid = [video.num_steps, video.grid[0] * merge, video.grid[1] * merge]
    find = family.model.model.get_rope_index
    if "mm_token_type_ids" in inspect.signature(find).parameters:
        more["mm_token_type_ids"] = (ids == family.placeholder).int() * 2
    grids = torch.tensor([grid], device=ids.device)
    vision, _ = find(ids, video_grid_thw=grids, **more)
    text = torch.arange(ids.shape[1], device=ids.device).view(1, 1, -1)
    return torch.cat([text, vision.to(text)])
