"""What one pass of the DynFocus model gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

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

    @classmethod
    def of(cls, outputs: Any, video_tokens: list[VideoTokens]) -> Self:
        """Add video tokens to what the language model gave."""
        return cls(
            loss=outputs.loss,
            logits=outputs.logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            video_tokens=video_tokens or None,
        )
