"""LLaVA-OneVision: pooled tokens of each frame in a row, one newline after the last."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from dynfocus.plugins.family import Family, FramePlan, StepTokens, pooled
from dynfocus.plugins.host_pixels import PixelPlan, square_or_given


class LlavaOnevision(Family):
    """Frames of a fixed size; positions run on, and nothing tells the time."""

    model_types = ("llava_onevision",)
    numbers: ClassVar[dict[str, Any]] = {
        "size": {"height": 384, "width": 384},
        "image_mean": (0.48145466, 0.4578275, 0.40821073),
        "image_std": (0.26862954, 0.26130258, 0.27577711),
    }

    def plan_frames(self, size: tuple[int, int], num_frames: int) -> FramePlan:
        """Resize to the processor's size; pooling halves rows and columns."""
        vision = self.model.config.vision_config
        side = -(-(vision.image_size // vision.patch_size) // 2)
        target = square_or_given(self.processor.numbers)
        plan = PixelPlan.of(self.processor.numbers, (target,))
        return FramePlan(pixels=plan, grid=(side, side))

    def encode(self, pixels: Tensor) -> StepTokens:
        """Encode frames, and leave the newline after them out."""
        features = pooled(self.model.get_video_features(pixels[None]))[0]
        return StepTokens(
            tokens=features[:-1].view(len(pixels), -1, features.shape[-1])
        )

    def tail(self) -> Tensor:
        """Give the newline."""
        newline: Tensor = self.model.model.image_newline
        return newline[None]
