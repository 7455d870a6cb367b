"""Small parts of greedy generation: text as it comes, and a guard against nonsense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, TextStreamer

from dynfocus.errors import NonFiniteLogitsError


class FiniteLogits(LogitsProcessor):  # type: ignore[misc]
    """Stop generation as soon as the logits are not numbers."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Check the scores of one step, where minus infinity means forbidden."""
        if bool((torch.isnan(scores) | (scores == torch.inf)).any()):
            raise NonFiniteLogitsError(
                "the model gave logits that are not finite; its weights are damaged or "
                "the precision is too low, so load it anew or with dtype=torch.float32"
            )
        return scores


class CallbackStreamer(TextStreamer):  # type: ignore[misc]
    """Hand finished words to a function while the answer is written."""

    def __init__(self, tokenizer: Any, on_text: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._on_text = on_text

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Pass a piece of text on."""
        if text:
            self._on_text(text)


def check_context(
    config: Any, name: str, prompt_length: int, max_new_tokens: int
) -> None:
    """Refuse a prompt and an answer that do not fit into what a model can read."""
    limit = getattr(config.text_config, "max_position_embeddings", None)
    if limit is not None and prompt_length + max_new_tokens > limit:
        raise ValueError(
            f"the prompt has {prompt_length} tokens and the answer may have "
            f"{max_new_tokens}, more than the {limit} that {name!r} can read; "
            "use fewer frames (max_frames), a lower fps, a max_video_tokens, or a "
            "shorter conversation"
        )
