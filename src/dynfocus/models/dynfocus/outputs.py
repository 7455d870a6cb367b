"""What one pass of the DynFocus model gives."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

from transformers.modeling_outputs import CausalLMOutputWithPast

from dynfocus.focus import VideoTokens

CACHE_NAMES = ("cache", "past_key_values")
"""What transformers calls the cache of earlier steps, from 5.24 on and before."""
CACHE_NAME = next(
    field.name for field in fields(CausalLMOutputWithPast) if field.name in CACHE_NAMES
)
"""What the installed transformers calls it."""


@dataclass
class DynFocusCausalLMOutputWithPast(CausalLMOutputWithPast):  # type: ignore[misc]
    """What one pass gives: the language model's output and the video tokens it read."""

    video_tokens: list[VideoTokens] | None = None
    """One entry a block, in reading order; only when the pass saw video."""

    @classmethod
    def of(cls, outputs: Any, video_tokens: list[VideoTokens]) -> Self:
        """Add video tokens to what the language model gave."""
        return cls(**outputs, video_tokens=video_tokens or None)
