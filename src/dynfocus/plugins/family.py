"""What a family of vision language models has to say about itself.

Letters: T frames, S steps, N tokens a step, H width of the language model, E layers that
add visual features, L prompt tokens. A step is what has a run of placeholders of its
own: a frame, or for some hosts a pair of frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from dynfocus.plugins.host_processor import HostProcessor
from dynfocus.plugins.host_video import HostVideo
from dynfocus.plugins.pixels import PixelPlan


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

    def __init__(self, model: Any, processor: HostProcessor) -> None:
        self.model = model
        self.processor = processor.with_defaults(self.numbers)

    @property
    def placeholder(self) -> int:
        """Id of the token that holds the place of one visual token."""
        return int(self.model.config.video_token_id)

    @property
    def video_mark(self) -> str:
        """What the chat template writes where a video stands."""
        return str(self.processor.tokenizer.convert_ids_to_tokens(self.placeholder))

    @abstractmethod
    def plan_frames(self, size: tuple[int, int], num_frames: int) -> FramePlan:
        """Say what ``num_frames`` frames of a height and width become."""

    @abstractmethod
    def encode(self, pixels: Tensor) -> StepTokens:
        """Encode frames of pixel values ``[T, 3, h, w]``, in their order."""

    @abstractmethod
    def write(self, video: HostVideo) -> str:
        """Write what stands in the prompt for a video, with every placeholder."""

    def tail(self) -> Tensor:
        """Give the tokens after the last step, ``[0 or more, H]``."""
        width = self.model.get_input_embeddings().weight.shape[1]
        return self.model.get_input_embeddings().weight.new_zeros(0, width)

    def positions(self, ids: Tensor, video: HostVideo) -> Tensor | None:
        """Give the host's positions of a whole prompt ``[1, L]``.

        Returns:
            ``[R, 1, L]``, the first of ``R`` rows counting the tokens, or None where a
            token's position is its place in the row.
        """
        return None

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

    @abstractmethod
    def check(self) -> None:
        """Refuse a processor whose numbers do not fit the model."""


def pooled(output: Any) -> Tensor:
    """Take the features from what ``get_video_features`` of any version gives."""
    if not isinstance(output, torch.Tensor | list | tuple):
        output = output.pooler_output
    return output if isinstance(output, torch.Tensor) else torch.cat(list(output))
