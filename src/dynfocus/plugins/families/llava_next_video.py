"""LLaVA-NeXT-Video: a quarter of the patches of each frame, in a row."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from dynfocus.plugins.family import Family, FramePlan, StepTokens, pooled
from dynfocus.plugins.host_pixels import PixelPlan, shortest_and_crop


class LlavaNextVideo(Family):
    """Frames of a fixed size; positions run on, and nothing tells the time."""

    model_types = ("llava_next_video",)
    numbers: ClassVar[dict[str, Any]] = {
        "size": {"shortest_edge": 336},
        "crop_size": {"height": 336, "width": 336},
        "image_mean": (0.48145466, 0.4578275, 0.40821073),
        "image_std": (0.26862954, 0.26130258, 0.27577711),
    }

    def plan_frames(self, size: tuple[int, int], num_frames: int) -> FramePlan:
        """Resize and crop; the resampler takes every two rows and columns together."""
        config = self.model.config
        side = config.vision_config.image_size // config.vision_config.patch_size
        side //= config.spatial_pool_stride
        resized, crop = shortest_and_crop(self.processor.numbers, size)
        plan = PixelPlan.of(self.processor.numbers, (resized,), crop)
        return FramePlan(pixels=plan, grid=(side, side))

    def encode(self, pixels: Tensor) -> StepTokens:
        """Encode frames."""
        features = pooled(self.model.get_video_features(pixels[None]))
        width = features.shape[-1]
        return StepTokens(tokens=features.reshape(len(pixels), -1, width))
