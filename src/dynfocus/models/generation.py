"""Greedy answers of a language model that runs here, and the checks around them.

Letters: L prompt tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from transformers import LogitsProcessor, StoppingCriteria, TextStreamer

from dynfocus.errors import NonFiniteLogitsError
from dynfocus.models.choices import OneOf
from dynfocus.models.conversation import FinishReason, OnText, PreparedTurn
from dynfocus.models.options import AskOptions
from dynfocus.text import mean_probability, plural


class Written(NamedTuple):
    """An answer as the language model wrote it."""

    text: str
    """The answer, without white space at its ends."""
    confidence: float | None = None
    """Geometric mean of the probabilities of its tokens; None where they are not known."""
    finish_reason: FinishReason | None = None
    """Why it ended; None where that is not known."""
    prompt_tokens: int | None = None
    """Tokens of the prompt; None where they were not counted."""
    num_tokens: int | None = None
    """Tokens that were written; None where they were not counted."""


class Generator(Protocol):
    """What runs the language model: transformers here, or a server."""

    @property
    def marks(self) -> tuple[str, ...]:
        """Words that no question and no earlier answer may hold."""

    def generate(
        self, turn: PreparedTurn, options: AskOptions, on_text: OnText | None = None
    ) -> Written:
        """Answer a prompt.

        Args:
            turn: The prompt with its video.
            options: How long the answer may be, and the texts before which it ends.
            on_text: Called with each finished piece of the answer.

        Returns:
            The answer and how sure the model was of it.
        """


class LocalGenerator:
    """Let transformers write an answer, taking the likeliest token each time.

    Args:
        tokenizer: The language model's.
        run: Continues a prompt with ``generate`` of transformers, whose options follow,
            and gives the new tokens, ``[1, L]``.
    """

    marks = ()

    def __init__(self, tokenizer: Any, run: Callable[..., Tensor]) -> None:
        self._tokenizer = tokenizer
        self._run = run

    def generate(
        self, turn: PreparedTurn, options: AskOptions, on_text: OnText | None = None
    ) -> Written:
        """Answer a prompt; see `Generator.generate`.

        Raises:
            NonFiniteLogitsError: The model gave logits that are not numbers.
        """
        words, max_new_tokens = self._tokenizer, options.max_new_tokens
        watched = WatchedLogits()
        choice = OneOf(words, list(turn.letters)) if turn.letters else None
        tell, on_text = on_text, None if choice else on_text
        is_cut = bool(options.stop) and choice is None
        told = StopTexts(options.stop, on_text) if is_cut else None
        on_text = on_text if told is None else told.take
        with torch.inference_mode():
            output = self._run(
                turn,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                suppress_tokens=[turn.placeholder],
                logits_processor=[*([choice] if choice else ()), watched],
                streamer=None if on_text is None else CallbackStreamer(words, on_text),
                **({} if told is None else {"stopping_criteria": [told]}),
            )
        text: str = words.decode(output[0], skip_special_tokens=True)
        if choice is not None:
            text = turn.letters[choice.find(output[0].tolist())]
            if tell is not None:
                tell(text)
        elif told is not None:
            text = told.end(text)
        num_tokens = int(output.shape[1])
        is_ended = (told is not None and told.is_found) or (
            int(output[0, -1]) in words.all_special_ids
        )
        return Written(
            text.strip(),
            mean_probability(watched.log_probabilities),
            "stop" if is_ended or num_tokens < max_new_tokens else "length",
            int(turn.input_ids.shape[1]),
            num_tokens,
        )


class StopTexts(StoppingCriteria):  # type: ignore[misc]
    """End an answer before the first of some texts, and hand over what is before it.

    Args:
        texts: The texts.
        on_text: Called with pieces of the answer that belong to none of them.
    """

    def __init__(self, texts: Sequence[str], on_text: OnText | None) -> None:
        self.is_found = False
        self._texts = tuple(texts)
        self._on_text = on_text or (lambda _: None)
        self._held = ""

    def __call__(self, input_ids: Tensor, scores: Any, **options: Any) -> Tensor:
        """Tell for each row whether it is at its end."""
        return torch.full((len(input_ids),), self.is_found, device=input_ids.device)

    def take(self, piece: str) -> None:
        """Take the next piece, and hold back what one of the texts may begin with."""
        if self.is_found:
            return
        self._held += piece
        before = self._cut(self._held)
        if self.is_found:
            self._pass_on(before)
            return
        num_open = max(
            size
            for text in self._texts
            for size in range(len(text))
            if self._held.endswith(text[:size])
        )
        place = len(self._held) - num_open
        self._pass_on(self._held[:place])
        self._held = self._held[place:]

    def end(self, text: str) -> str:
        """Hand over what is held; gives the whole answer without what is not of it."""
        if not self.is_found:
            self._pass_on(self._cut(self._held))
        return self._cut(text)

    def _cut(self, text: str) -> str:
        places = [place for one in self._texts if (place := text.find(one)) >= 0]
        self.is_found |= bool(places)
        return text[: min(places)] if places else text

    def _pass_on(self, piece: str) -> None:
        if piece:
            self._on_text(piece)


class WatchedLogits(LogitsProcessor):  # type: ignore[misc]
    """Stop as soon as logits are not numbers, and note how likely the likeliest token is.

    It serves one answer, of one prompt, written by taking the likeliest token each time.
    """

    def __init__(self) -> None:
        self.log_probabilities: list[float] = []
        """Of each token written so far, among those that may be said."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Check the scores of one step, where minus infinity means forbidden."""
        if bool((torch.isnan(scores) | (scores == torch.inf)).any()):
            raise NonFiniteLogitsError(
                "the model gave logits that are not finite; its weights are damaged or "
                "the precision is too low, so load it anew or with dtype=torch.float32"
            )
        chances = scores.float().log_softmax(dim=-1)
        self.log_probabilities.append(float(chances.max()))
        return scores


class CallbackStreamer(TextStreamer):  # type: ignore[misc]
    """Hand finished words to a function while the answer is written."""

    def __init__(self, tokenizer: Any, on_text: OnText) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._on_text = on_text

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Pass a piece of text on."""
        if text:
            self._on_text(text)


def context_limit(config: Any) -> int | None:
    """Give the tokens that a language model can read; None where it does not say."""
    limit: int | None = getattr(config.text_config, "max_position_embeddings", None)
    return limit


def check_context(
    config: Any, name: str, prompt_length: int, max_new_tokens: int
) -> None:
    """Refuse a prompt and an answer that do not fit into what a model can read."""
    limit = context_limit(config)
    if limit is not None and prompt_length + max_new_tokens > limit:
        raise ValueError(
            f"the prompt has {plural(prompt_length, 'token')} and the answer may have "
            f"{max_new_tokens}, more than the {limit} that {name!r} can read; "
            "use fewer frames (max_frames), a lower fps, a max_video_tokens, or a "
            "shorter conversation"
        )
