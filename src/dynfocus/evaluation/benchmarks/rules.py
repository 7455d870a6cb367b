"""Answers by four rules on the rating of frames, without a language model.

The rating tells how well each frame fits a question, from 0 to 1; a stretch begins where
it reaches 0.9 and ends where it falls below 0.1, as the model's own counter of visits has
it. What a model adds to its rating is what it answers better than these rules do.

Letters: T frames.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from dynfocus.focus.question import number_visits
from dynfocus.index import VideoIndex
from dynfocus.models.video_model import VideoModel
from dynfocus.world.questions import clock, with_article

Rater = Callable[[str], Tensor]
"""Rates every frame for a question, ``[T]``, from 0 to 1."""

RULE_KINDS = ("presence", "count", "order", "when")
_IS_THERE = 0.5
_ENDS = 0.1


def answer_by_rule(kind: str, question: str, rate: Rater, times: Tensor) -> str:
    """Answer a question of FocusWorld by the rule of its kind.

    *presence*: yes if any frame is rated above one half. *count*: the number of
    stretches. *when*: the longest stretch. *order*: which of the two objects has the
    earlier first stretch, each rated for a question of its own.

    Args:
        kind: One of ``RULE_KINDS``.
        question: The question.
        rate: What rates the frames.
        times: Their times in seconds, ``[T]``.

    """
    if kind == "order":
        return _first_of_two(question, rate)
    ratings = rate(question)
    if kind == "presence":
        return "yes" if ratings.max() > _IS_THERE else "no"
    stretches = find_stretches(ratings)
    if kind == "count":
        return str(len(stretches))
    return _longest(stretches, ratings, times)


def find_stretches(ratings: Tensor) -> list[tuple[int, int]]:
    """Return the first and the last frame of each stretch.

    Args:
        ratings: How well each frame fits, ``[T]``, from 0 to 1.
    """
    begun = number_visits(ratings[None])[0]  # [T]
    before = torch.cat([begun.new_zeros(1), begun[:-1]])
    starts = (begun > before).nonzero()[:, 0].tolist()
    stretches = []
    for start, limit in pairwise([*starts, len(ratings)]):
        over = (ratings[start:limit] < _ENDS).nonzero()[:, 0]
        end = start + int(over[0]) if len(over) else limit
        stretches.append((start, end - 1))
    return stretches


def _longest(stretches: list[tuple[int, int]], ratings: Tensor, times: Tensor) -> str:
    """Name the longest stretch, or the best frame where there is none."""
    best = int(ratings.argmax())
    first, last = max(stretches, key=lambda s: s[1] - s[0], default=(best, best))
    start, end = float(times[first]), float(times[last])
    return f"from {clock(start)} to {clock(max(start + 1, end))}"


def _first_of_two(question: str, rate: Rater) -> str:
    found = re.fullmatch(r"Which appears first, the (.+) or the (.+)\?", question)
    if found is None:
        raise ValueError(f"{question!r} does not ask which of two appears first")
    onsets = [
        _onset(rate(f"Does {with_article(name)} appear?")) for name in found.groups()
    ]
    return f"the {found.group(1 if onsets[0] <= onsets[1] else 2)}"


def _onset(ratings: Tensor) -> int:
    """Return the first frame of the first stretch; beyond the last if there is none."""
    stretches = find_stretches(ratings)
    return stretches[0][0] if stretches else len(ratings)


def frame_rater(model: VideoModel) -> Callable[[VideoIndex], Rater]:
    """Return what makes a rater of an indexed video, with a model's own rating.

    Raises:
        ValueError: If the model does not rate frames by the question.
    """
    model.require("maps")
    head = model.model.focus_network.question_head
    if head is None or head.rating is None:
        raise ValueError(
            f"{model.name} does not rate frames by the question, so there is nothing that "
            "rules could read; leave --rules out"
        )

    @torch.inference_mode()
    def rate(index: VideoIndex, question: str) -> Tensor:
        asked = model.processor.qformer_tokenizer(question, return_tensors="pt")
        mask = asked["attention_mask"]
        text = model.model.encode_question(asked["input_ids"], mask)
        spatial = index.features.spatial[None].to(model.model.dtype)
        ratings: Tensor = head.rate(spatial, text, mask.bool())
        return ratings[0].sigmoid()

    return lambda index: partial(rate, index)
