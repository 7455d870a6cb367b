"""Video-LLaVA: every patch of each frame and its class token, in a row."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from dynfocus.plugins.family import Family, FramePlan, StepTokens, pooled
from dynfocus.plugins.host_pixels import PixelPlan, shortest_and_crop


class VideoLlava(Family):
    """Frames of a fixed size, the class token before the grid of each."""

    model_types = ("video_llava",)
    numbers: ClassVar[dict[str, Any]] = {
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
        "image_mean": (0.48145466, 0.4578275, 0.40821073),
        "image_std": (0.26862954, 0.26130258, 0.27577711),
    }

    def plan_frames(self, size: tuple[int, int], num_frames: int) -> FramePlan:
        """Resize and crop."""
        vision = self.model.config.vision_config
        side = vision.image_size // vision.patch_size
        resized, crop = shortest_and_crop(self.processor.numbers, size)
        plan = PixelPlan.of(self.processor.numbers, (resized,), crop)
        return FramePlan(pixels=plan, grid=(side, side), num_front=1)

    def encode(self, pixels: Tensor) -> StepTokens:
        """Encode frames."""
        return StepTokens(
            tokens=pooled(self.model.base_model.get_video_features(pixels[None]))
        )
