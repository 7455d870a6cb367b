"""The LLaVA hosts: frames of a fixed size, whose tokens stand in a row without times."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from dynfocus.plugins.family import Family, FramePlan, StepTokens, pooled
from dynfocus.plugins.host_pixels import PixelPlan, shortest_and_crop, square_or_given


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
