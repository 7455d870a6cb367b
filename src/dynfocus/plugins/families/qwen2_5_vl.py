"""Qwen2.5-VL: pairs of frames, any size, and positions in time, height and width."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from dynfocus.plugins.family import Family, FramePlan, StepTokens, pooled
from dynfocus.plugins.host_processor import HostProcessor
from dynfocus.plugins.host_video import HostVideo
from dynfocus.plugins.pixels import PixelPlan
from dynfocus.plugins.temporal_patches import (
    check_patches,
    cut_patches,
    fit_pixels,
    pixel_bounds,
    rope_positions,
    step_seconds,
    temporal_size,
)


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

    def write(self, video: HostVideo) -> str:
        """Write the placeholders of all pairs."""
        return self.video_mark * video.num_tokens

    def positions(self, ids: Tensor, video: HostVideo) -> Tensor:
        """Give the host's own positions, by the mean time between pairs."""
        merge = self.processor.numbers["merge_size"]
        grid = [video.num_steps, video.grid[0] * merge, video.grid[1] * merge]
        return rope_positions(
            self.model.model,
            ids,
            self.placeholder,
            video_grid_thw=torch.tensor([grid], device=ids.device),
            second_per_grid_ts=[
                step_seconds(video.frame_seconds, self.frames_per_step)
            ],
        )

    def check(self) -> None:
        """Refuse patches of another size than the tower's."""
        check_patches(self.processor.numbers, self.model.config.vision_config)
