"""What differs between families of vision language models, and what all of them read.

Letters: T frames, S steps, F frames of a step, N tokens a step, H width of the language
model, E layers that add visual features, L prompt tokens, R regions, C width of the
scorer. A step is what has a run of placeholders of its
own: a frame, or for some hosts a pair of frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from dynfocus.plugins.host_pixels import PixelPlan, check_side, temporal_size
from dynfocus.plugins.host_processor import HostProcessor

_ANY_SIDE = 224


@dataclass(frozen=True, kw_only=True)
class FramePlan:
    """Say what frames of one size become."""

    pixels: PixelPlan
    """How they become pixel values."""
    grid: tuple[int, int]
    """Rows and columns of the tokens of a step."""
    num_front: int = 0
    """Tokens of a step before its grid, such as a class token."""

    @property
    def num_tokens(self) -> int:
        """Count the tokens of a step, ``N``."""
        return self.num_front + self.grid[0] * self.grid[1]


@dataclass(frozen=True, kw_only=True)
class StepTokens:
    """The tokens of some steps."""

    tokens: Tensor
    """Features in the language model's space, ``[S, N, H]``."""
    layers: Tensor | None = None
    """What is added at visual tokens after the first layers, ``[S, N, E, H]``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HostFeatures:
    """Hold the host's tokens of an encoded video: the features of its `VideoIndex`."""

    tokens: Tensor
    """The host's own tokens, ``[S, N, H]``."""
    layers: Tensor | None
    """What the host adds after its first layers, ``[S, N, E, H]``."""
    tail: Tensor
    """Tokens after the last step, ``[0 or more, H]``."""
    grid: tuple[int, int]
    """Rows and columns of the tokens of a step."""
    num_front: int
    """Tokens of a step before its grid."""
    steps: Tensor
    """Position of each step among those that were sampled, ``[S]``, increasing."""
    frame_seconds: Tensor
    """Times of the frames of each step, ``[S, F]``, float64."""
    duration: float
    """Length of the video in seconds, which some prompts tell."""
    regions: Tensor | None = None
    """What the scorer sees of each step and its regions, ``[S, 1 + R, C]``."""
    plan: FramePlan | None = None
    """How its frames were encoded, so that others of its file can join them."""

    @property
    def pts_seconds(self) -> Tensor:
        """Time of the first frame of each step, ``[S]``."""
        return self.frame_seconds[:, 0]

    @property
    def num_steps(self) -> int:
        """Count the steps, ``S``."""
        return int(self.tokens.shape[0])

    @property
    def num_frames(self) -> int:
        """Count the steps, under the name that all features have."""
        return self.num_steps

    @property
    def tokens_per_step(self) -> int:
        """Count the tokens of a step, ``N``."""
        return int(self.tokens.shape[1])

    @property
    def num_tokens(self) -> int:
        """Count all visual tokens."""
        return self.num_steps * self.tokens_per_step + len(self.tail)

    def not_before(self, start: float) -> HostFeatures:
        """Time frames that were on display at ``start`` already from then on."""
        return replace(self, frame_seconds=self.frame_seconds.clamp(min=start))

    def take(self, rows: Tensor) -> HostFeatures:
        """Keep some steps, given by increasing rows ``[S']``."""
        if len(rows) == self.num_steps:
            return self
        picked = rows.to(self.tokens.device)
        return replace(
            self,
            tokens=self.tokens[picked],
            layers=None if self.layers is None else self.layers[picked],
            steps=self.steps[rows],
            frame_seconds=self.frame_seconds[rows],
            regions=None if self.regions is None else self.regions[rows],
        )

    def merged(self, merge: Callable[[Tensor], Tensor]) -> HostFeatures:
        """Merge tokens, and what the host adds to them, ``[S, N, ...]``."""
        return replace(
            self,
            tokens=merge(self.tokens),
            layers=None if self.layers is None else merge(self.layers),
        )


class Family(ABC):
    """Say what differs between families of hosts; everything else is shared.

    A family is made for one host. It must not change the host.

    Args:
        model: The host, as ``AutoModelForImageTextToText`` gives it.
        processor: Its processor.
    """

    model_types: ClassVar[tuple[str, ...]]
    """Values of ``model_type`` in the configurations of its members."""
    numbers: ClassVar[Mapping[str, Any]]
    """Numbers of its video processor, for what a processor leaves out."""
    frames_per_step: int = 1
    """Frames that share a run of placeholders."""
    tells_times: ClassVar[bool] = False
    """Whether `write` tells the time of every step by itself."""

    def __init__(self, model: Any, processor: HostProcessor) -> None:
        self.model = model
        self.processor = processor.with_defaults(self.numbers)
        if "temporal_patch_size" in self.numbers:
            self.frames_per_step = temporal_size(self.processor.numbers)

    @property
    def placeholder(self) -> int:
        """Id of the token that holds the place of one visual token."""
        return int(self.model.config.video_token_id)

    @property
    def video_mark(self) -> str:
        """What the chat template writes where a video stands."""
        return str(self.processor.tokenizer.convert_ids_to_tokens(self.placeholder))

    @property
    def video_start(self) -> str:
        """What the chat template writes right before that mark, and for a video alone."""
        return ""

    @abstractmethod
    def plan_frames(self, size: tuple[int, int], num_frames: int) -> FramePlan:
        """Say what ``num_frames`` frames of a height and width become."""

    @abstractmethod
    def encode(self, pixels: Tensor) -> StepTokens:
        """Encode frames of pixel values ``[T, 3, h, w]``, in their order."""

    def write(self, video: HostFeatures) -> str:
        """Write what stands in the prompt for a video: by default, placeholders alone."""
        word: str = self.processor.tokenizer.convert_ids_to_tokens(self.placeholder)
        return word * video.num_tokens

    def write_timed(self, video: HostFeatures) -> str:
        """Write what `write` does, and the time of each step behind its tokens."""
        if self.tells_times:
            return self.write(video)
        word: str = self.processor.tokenizer.convert_ids_to_tokens(self.placeholder)
        run = word * video.tokens_per_step
        *steps, rest = self.write(video).split(run, video.num_steps)
        stamped = zip(steps, time_stamps(video), strict=True)
        return "".join(f"{before}{run}{stamp}" for before, stamp in stamped) + rest

    def tail(self) -> Tensor:
        """Give the tokens after the last step, ``[0 or more, H]``."""
        width = self.model.get_input_embeddings().weight.shape[1]
        return self.model.get_input_embeddings().weight.new_zeros(0, width)

    def positions(self, ids: Tensor, videos: Sequence[HostFeatures]) -> Tensor | None:
        """Give the host's positions of a whole prompt ``[1, L]`` and its videos.

        Returns:
            ``[R, 1, L]``, the first of ``R`` rows counting the tokens, or None where a
            token's position is its place in the row.
        """
        return None

    def timed_positions(
        self, ids: Tensor, videos: Sequence[HostFeatures]
    ) -> Tensor | None:
        """Give what `positions` does, for a prompt with `write_timed`."""
        return self.positions(ids, videos)

    def prefill(
        self, is_visual: Tensor, layers: Tensor | None
    ) -> AbstractContextManager[dict[str, Any]]:
        """Prepare the host for reading one prompt, while others may be read, too.

        Args:
            is_visual: True at visual tokens, shape ``[1, L]``.
            layers: Rows of ``StepTokens.layers`` at these tokens, ``[V, E, H]``.

        Returns:
            A context whose value are more options of ``generate``.
        """
        return nullcontext({})

    def check(self) -> None:
        """Refuse a processor whose frames are not of the size that the tower reads."""
        plan = self.plan_frames((_ANY_SIDE, _ANY_SIDE), 1)
        check_side(plan.pixels.size, self.model.config.vision_config)


def time_stamps(video: HostFeatures) -> list[str]:
    """Spell the time of the first frame of each step, such as ``<12.5s>`` (DATE)."""
    return [f"<{round(time, 1)}s>" for time in video.pts_seconds.tolist()]


def pooled(output: Any) -> Tensor:
    """Take the features from what ``get_video_features`` of any version gives."""
    if not isinstance(output, torch.Tensor | list | tuple):
        output = output.pooler_output
    return output if isinstance(output, torch.Tensor) else torch.cat(list(output))
