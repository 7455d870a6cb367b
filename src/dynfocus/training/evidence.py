"""When a video shows the answer to a question: ``evidence`` of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dynfocus.training.dataset import conversation_turns
from dynfocus.training.sources import Sample

Interval = tuple[float, float]


class Asked(NamedTuple):
    """A question of a sample."""

    question: str
    answer: str
    evidence: list[Interval]
    """Half-open intervals of seconds that show the answer; none if none is known."""


def asked_of(sample: Sample) -> list[Asked]:
    """Return the questions of a sample with their answers and evidence.

    Raises:
        ValueError: If ``evidence`` has not one entry a question.
    """
    turns = conversation_turns(sample)
    evidence = sample.get("evidence", [[]] * len(turns))
    if len(evidence) != len(turns):
        raise ValueError(
            f"sample {sample.get('id', '?')}: 'evidence' must have one list of "
            f"[start, end] a question ({len(turns)}), got {len(evidence)}"
        )
    return [
        Asked(question, answer, [(float(a), float(b)) for a, b in intervals or ()])
        for (question, answer), intervals in zip(turns, evidence, strict=True)
    ]


def shows_answer(times: Tensor, evidence: Sequence[Interval]) -> Tensor:
    """Tell which frames show the answer.

    Args:
        times: Times in seconds, shape ``[T]``.
        evidence: Half-open intervals in seconds.

    Returns:
        True inside the evidence, shape ``[T]``.
    """
    bounds = torch.tensor(evidence, dtype=times.dtype)  # [intervals, 2]
    after = times[:, None] >= bounds[:, 0]
    return (after & (times[:, None] < bounds[:, 1])).any(1)
