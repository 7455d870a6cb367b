"""Right or wrong: how an answer about FocusWorld is judged."""

from __future__ import annotations

from dynfocus.world import WorldQuestion, parse_interval
from dynfocus.world.questions import MAX_COUNT
from dynfocus.world.vocabulary import (
    ANOMALIES,
    COLOURS,
    LETTERS,
    ROOMS,
    SHAPES,
    SIZES,
)

MIN_INTERVAL_IOU = 0.5
"""Overlap from which a time interval counts as right."""


def interval_iou(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return intersection over union of two intervals in seconds; 0 if one is empty."""
    overlap = min(one[1], other[1]) - max(one[0], other[0])
    union = max(one[1], other[1]) - min(one[0], other[0])
    return max(0.0, overlap) / union if union > 0 else 0.0


def is_right(question: WorldQuestion, text: str) -> bool:
    """Judge an answer: exact match of the words, or half the overlap for an interval.

    Case, outer spaces and a final full stop do not count.

    Args:
        question: What was asked, with its truth.
        text: What was answered.
    """
    if question.kind != "when":
        return is_same_answer(text, question.answer)
    said = parse_interval(_plain(text))
    if said is None:
        return False
    return interval_iou(said, question.evidence[0]) >= MIN_INTERVAL_IOU


def is_same_answer(text: str, truth: str) -> bool:
    """Compare an answer with the truth: case, spaces and a final stop do not count."""
    return _plain(text) == _plain(truth)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).removesuffix(".")


def chance(question: WorldQuestion) -> float:
    """Return how often a guess among the possible answers of its kind is right."""
    if question.kind == "attribute":
        return 1 / len(_attribute_words(question))
    return _CHANCE.get(question.kind, 0.0)


def _attribute_words(question: WorldQuestion) -> tuple[str, ...]:
    return next(words for words in (SIZES, COLOURS, SHAPES) if question.answer in words)


_CHANCE = {
    "needle": 1 / len(LETTERS),
    "presence": 1 / 2,
    "count": 1 / (MAX_COUNT + 1),
    "order": 1 / 2,
    "direction": 1 / 2,
    "topic": 1 / len(ROOMS),
    "anomaly": 1 / (len(ANOMALIES) + 1),
}
