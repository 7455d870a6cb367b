"""What one pass of the DynFocus model gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers.modeling_outputs import ModelOutput

from dynfocus.focus import VideoTokens


@dataclass
class DynFocusCausalLMOutputWithPast(ModelOutput):  # type: ignore[misc]
    """What one pass gives: the language model's output and the video tokens it read."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    video_tokens: list[VideoTokens] | None = None
    """One entry a block, in reading order; only when the pass saw video."""
