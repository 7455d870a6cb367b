"""InternVL3 and SmolVLM2: each frame an image of its own, behind its number or time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from torch import Tensor
from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

from dynfocus.plugins.family import (
    Family,
    FramePlan,
    HostFeatures,
    StepTokens,
    pooled,
    time_stamps,
)
from dynfocus.plugins.host_pixels import PixelPlan, square_or_given
from dynfocus.plugins.host_processor import HostProcessor

_INTRO = (
    "You are provided the following series of {frames} frames from a {duration} "
    "[H:MM:SS] video.\n"
)


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

    def write_timed(self, video: HostFeatures) -> str:
        """Write the time of each frame at the end of its line."""
        lines = zip(self.write(video).split("\n"), time_stamps(video), strict=True)
        return "\n".join(f"{line}{stamp}" for line, stamp in lines)


class SmolVLM(Family):
    """Frames of a fixed size, their times written in minutes and seconds."""

    tells_times = True
    model_types = ("smolvlm",)
    numbers: ClassVar[dict[str, Any]] = {
        "size": {"longest_edge": 4 * 364},
        "max_image_size": {"longest_edge": 364},
        "resample": 1,
        "image_mean": (0.5, 0.5, 0.5),
        "image_std": (0.5, 0.5, 0.5),
    }

    def __init__(self, model: Any, processor: HostProcessor) -> None:
        super().__init__(model, processor)
        template = processor.chat_template or ""
        if processor.original is None and "video" not in template:
            # its own template knows images only; its processor takes this one instead
            self.processor = self.processor.with_template(DEFAULT_CHAT_TEMPLATE)

    @property
    def placeholder(self) -> int:
        """Id of ``<image>``."""
        return int(self.model.config.image_token_id)

    @property
    def video_mark(self) -> str:
        """``<video>``."""
        return str(getattr(self.processor.tokenizer, "video_token", "<video>"))

    def plan_frames(self, size: tuple[int, int], num_frames: int) -> FramePlan:
        """Resize the longer side, then to a square; shuffling joins patches."""
        config = self.model.config
        tower = config.vision_config
        side = tower.image_size // tower.patch_size // config.scale_factor
        sizes = (_fit_longest(size, self._longest_edge), (self._side, self._side))
        plan = PixelPlan.of(self.processor.numbers, sizes)
        return FramePlan(pixels=plan, grid=(side, side))

    def encode(self, pixels: Tensor) -> StepTokens:
        """Encode frames."""
        features = pooled(self.model.get_image_features(pixels[None]))
        width = features.shape[-1]
        return StepTokens(tokens=features.reshape(len(pixels), -1, width))

    def write(self, video: HostFeatures) -> str:
        """Write the placeholders of each frame behind its time."""
        words = self.processor.tokenizer
        around = getattr(words, "fake_image_token", "<fake_token_around_image>")
        first = getattr(words, "global_image_token", "<global-img>")
        inside = words.convert_ids_to_tokens(self.placeholder) * video.tokens_per_step
        frame = f"{around}{first}{inside}{around}"
        intro = _INTRO.format(
            frames=_spell(video.num_steps),
            duration=timedelta(seconds=int(video.duration)),
        )
        seconds = [int(time) for time in video.frame_seconds[:, 0].tolist()]
        frames = [
            f"\nFrame from {time // 60:02d}:{time % 60:02d}:{frame}" for time in seconds
        ]
        return f"{intro}{''.join(frames)}\n\n"

    @property
    def _side(self) -> int:
        return int(self.processor.numbers["max_image_size"]["longest_edge"])

    @property
    def _longest_edge(self) -> int:
        numbers = self.processor.numbers
        sampling = numbers.get("video_sampling") or {}
        size = sampling.get("video_size") or numbers["size"]
        return int(size["longest_edge"])


def _spell(number: int) -> str:
    """Write a number in words, as the host was trained to read it."""
    try:
        from num2words import num2words
    except ImportError as error:
        raise ImportError(
            "SmolVLM2 reads the number of frames in words, which needs num2words; install "
            "it with pip install num2words"
        ) from error
    return str(num2words(number))


def _fit_longest(own: tuple[int, int], longest: int) -> tuple[int, int]:
    """Give the longer side a length; the other, rounded up to an even one, follows."""
    height, width = own
    shape = width / height
    if width >= height:
        shorter = int(longest / shape)
        return max(1, shorter + shorter % 2), longest
    shorter = int(longest * shape)
    return longest, max(1, shorter + shorter % 2)
