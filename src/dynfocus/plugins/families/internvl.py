"""InternVL3: each frame an image of its own, with its number before it."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from dynfocus.plugins.family import (
    Family,
    FramePlan,
    HostFeatures,
    StepTokens,
    pooled,
)
from dynfocus.plugins.host_pixels import PixelPlan, square_or_given


class InternVL(Family):
    """Frames of a fixed size, numbered from 1; positions run on."""

    model_types = ("internvl",)
    numbers: ClassVar[dict[str, Any]] = {
        "size": {"height": 448, "width": 448},
        "image_mean": (0.485, 0.456, 0.406),
        "image_std": (0.229, 0.224, 0.225),
    }

    @property
    def placeholder(self) -> int:
        """Id of ``<IMG_CONTEXT>``."""
        return int(self.model.config.image_token_id)

    @property
    def video_mark(self) -> str:
        """``<video>``."""
        return str(self.processor.tokenizer.video_token)

    def plan_frames(self, size: tuple[int, int], num_frames: int) -> FramePlan:
        """Resize to the processor's size; shuffling joins patches."""
        config = self.model.config
        tower = config.vision_config
        ratio = config.downsample_ratio
        grid = [
            int(side // patch * ratio)
            for side, patch in zip(tower.image_size, tower.patch_size, strict=True)
        ]
        target = square_or_given(self.processor.numbers)
        plan = PixelPlan.of(self.processor.numbers, (target,))
        return FramePlan(pixels=plan, grid=(grid[0], grid[1]))

    def encode(self, pixels: Tensor) -> StepTokens:
        """Encode frames."""
        return StepTokens(tokens=pooled(self.model.get_image_features(pixels)))

    def write(self, video: HostFeatures) -> str:
        """Write the placeholders of each frame behind its number."""
        words = self.processor.tokenizer
        inside = words.context_image_token * video.tokens_per_step
        frame = f"{words.start_image_token}{inside}{words.end_image_token}"
        return "\n".join(
            f"Frame{number}: {frame}" for number in range(1, video.num_steps + 1)
        )
