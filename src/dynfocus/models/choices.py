"""Options under letters, for a model that was taught open questions alone.

Such a model is asked without them, and of the options it says the likeliest. To look a
letter up in a list is what a small language model learns last; to know which of some
answers is the likeliest it need not learn at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import LogitsProcessor

_MARK = re.compile(r"(?:^|(?<=\s))\(?([A-Z])[.):]\s+")


class ListedQuestion(NamedTuple):
    """A question apart from its options."""

    question: str
    """What is asked, without the options."""
    letters: dict[str, str]
    """The letter of each option by its text."""


def split_options(text: str) -> ListedQuestion | None:
    r"""Take a question and the options that it lists apart.

    Options stand behind letters from A on, as ``A. red``, ``A) red``, ``(A) red`` or
    ``A: red``, in lines of their own or in one. In lines of their own, what follows the
    last, such as a request for a letter, is left out.

    Args:
        text: The question.

    Returns:
        The question and its options; None where it lists fewer than two.
    """
    marks = list(_MARK.finditer(text))
    for first in reversed(range(len(marks))):
        run: list[re.Match[str]] = []
        for mark in marks[first:]:
            if mark[1] == ascii_uppercase[len(run) : len(run) + 1]:
                run.append(mark)
        stem = text[: run[0].start()].strip() if len(run) > 1 else ""
        if not stem:
            continue
        ends = [mark.start() for mark in run[1:]]
        has_lines = all(text[end - 1] == "\n" for end in ends)
        rest = text[run[-1].end() :]
        ends.append(run[-1].end() + len(rest.split("\n")[0] if has_lines else rest))
        letters = {
            text[mark.end() : end].strip(): mark[1]
            for mark, end in zip(run, ends, strict=True)
        }
        if len(letters) == len(run) and all(letters):
            return ListedQuestion(stem, letters)
    return None


class OneOf(LogitsProcessor):  # type: ignore[misc]
    """Let a language model say one of some answers, and its end.

    Args:
        tokenizer: The language model's.
        texts: The answers. Small letters are allowed in place of capital ones.
    """

    def __init__(self, tokenizer: Any, texts: Sequence[str]) -> None:
        self._texts: dict[tuple[int, ...], str] = {}
        for text in texts:
            for said in dict.fromkeys((text, text if len(text) == 1 else text.lower())):
                ids = tokenizer.encode(f" {said}", add_special_tokens=False)
                self._texts[(*ids, tokenizer.eos_token_id)] = text
        self._num_before: int | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Forbid what none of the answers goes on with."""
        if self._num_before is None:
            self._num_before = input_ids.shape[1]
        said = tuple(input_ids[0, self._num_before :].tolist())
        size = len(said)
        allowed = {ids[size] for ids in self._texts if ids[:size] == said != ids}
        places = torch.tensor(sorted(allowed), device=scores.device)
        kept = torch.full_like(scores, -torch.inf)
        kept[:, places] = scores[:, places]
        return kept

    def find(self, ids: Sequence[int]) -> str:
        """Name the answer that was said, or begun where it might be no longer."""
        said = tuple(ids)
        return next(
            text for all_, text in self._texts.items() if all_[: len(said)] == said
        )
