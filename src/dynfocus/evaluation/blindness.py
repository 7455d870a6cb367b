"""What a model that never sees the video gets right: a constant answer, a guess by words.

The blind model is naive Bayes on the words of the question, pairs of neighbouring words
among them. It has read the questions about other videos with their answers, and picks
among the options where there are any. Where an answer repeats a name of the question it
learns the place of the name. Its accuracy bounds nothing from above; it finds what a text
gives away by single words.

Folds of one set whose choices are evened out lean against the truth: what the others
hold more of, the fold holds less of. So a balanced kind is measured a little below chance.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import log
from typing import Any

from dynfocus.evaluation.metrics import (
    Estimate,
    accuracy,
    is_right_answer,
    score_together,
)
from dynfocus.world.wide import WideQuestion

Records = list[dict[str, Any]]
TOLERANCE = 2.0
"""Points by which a blind answer may exceed one over the number of answers."""
STRICTER = 1.68
"""Width of a 99.9 % interval over that of a 95 % one, where they are normal."""
NUM_FOLDS = 4


@dataclass(frozen=True, kw_only=True)
class Blindness:
    """What is right of one kind without seeing the video, in percent."""

    kind: str
    num_questions: int
    """Questions, or pairs or groups where these are scored together."""
    design: float
    """One over the number of possible answers; for times, over that of intervals which
    do not count as the same; 0 where there is no end of them."""
    constant: Estimate
    """The best constant answer, chosen with the truth."""
    blind: Estimate
    """The naive Bayes, which has read the questions about other videos."""
    design_of_options: float | None
    """One over the number of options; None where there are none."""
    blind_with_options: Estimate | None
    """The naive Bayes, picking among the options."""

    @property
    def is_balanced(self) -> bool:
        """Tell whether no figure is above its design by more than ``TOLERANCE``.

        A figure is above if chance alone would put one of the fifty figures of a page
        there in one page of twenty: the interval that counts is ``STRICTER`` times as
        wide as that of 95 %. Too few videos for an interval put nothing above.
        """
        pairs = [(self.constant, self.design), (self.blind, self.design)]
        if self.blind_with_options is not None and self.design_of_options is not None:
            pairs.append((self.blind_with_options, self.design_of_options))
        return all(_surely(found) <= design + TOLERANCE for found, design in pairs)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return {**asdict(self), "is_balanced": self.is_balanced}


def _surely(found: Estimate) -> float:
    if found.low is None:  # too few videos say nothing
        return 0.0
    return found.value - STRICTER * (found.value - found.low)


def measure_blindness(questions: Sequence[WideQuestion]) -> list[Blindness]:
    """Measure the best constant answer and a blind model, by kind.

    Args:
        questions: About several videos, balanced, with groups or without.

    Returns:
        One row a kind and form, in the order of their names; pairs are right only if
        both are, groups only if all four are.
    """
    strata: dict[str, list[WideQuestion]] = defaultdict(list)
    for asked in questions:
        strata[_row(asked)].append(asked)
    return [_measure(name, strata[name]) for name in sorted(strata)]


def _row(asked: WideQuestion) -> str:
    if asked.group:
        return "groups"
    if asked.kind == "attribute":
        return f"attribute: {asked.form}"
    return f"{asked.kind} pairs" if asked.pair_id else asked.kind


def _measure(name: str, group: Sequence[WideQuestion]) -> Blindness:
    constant = _score(group, _answer_constantly(group))
    has_options = all(asked.options for asked in group)
    return Blindness(
        kind=name,
        num_questions=len(constant),
        design=_design(group),
        constant=accuracy(constant),
        blind=accuracy(_score(group, answer_blindly(group))),
        design_of_options=_design_of_options(group) if has_options else None,
        blind_with_options=accuracy(
            _score(group, answer_blindly(group, with_options=True))
        )
        if has_options
        else None,
    )


def _design(group: Sequence[WideQuestion]) -> float:
    if group[0].group:
        return 0.0
    if group[0].pair_id:
        return 25.0
    return sum(100 / q.num_choices for q in group if q.num_choices) / len(group)


def _design_of_options(group: Sequence[WideQuestion]) -> float:
    if group[0].group:
        return 100 / 2**4
    if group[0].pair_id:
        return 25.0
    return sum(100 / len(asked.options) for asked in group) / len(group)


def _score(group: Sequence[WideQuestion], answers: Sequence[str]) -> Records:
    records = [
        {
            "video": asked.video,
            "kind": asked.kind,
            "group": asked.group,
            "pair_id": asked.pair_id,
            "right": is_right_answer(
                {"kind": asked.kind, "truth": asked.answer}, text, asked.evidence
            ),
        }
        for asked, text in zip(group, answers, strict=True)
    ]
    if group[0].group:
        return score_together(records)
    if group[0].pair_id:
        return score_together(records, "pair_id", 2)
    return records


def _names(asked: WideQuestion) -> tuple[str, ...]:
    """Return the names of the question in their order, if the answer is one of them."""
    names = tuple(
        f"the {asked.slots[s]}" for s in ("thing", "other") if s in asked.slots
    )
    return names if asked.name == "order" else ()


def _learned(asked: WideQuestion) -> str:
    """Return what a blind model learns: the answer, or the place of its name."""
    names = _names(asked)
    return f"#{names.index(asked.answer)}" if names else asked.answer


def _said(asked: WideQuestion, learned: str) -> str:
    names = _names(asked)
    return names[int(learned[1:])] if names and learned[0] == "#" else learned


def _answer_constantly(group: Sequence[WideQuestion]) -> list[str]:
    ways = list(dict.fromkeys(_learned(asked) for asked in group))
    tried = [[_said(asked, way) for asked in group] for way in ways]
    return max(
        tried, key=lambda said: sum(record["right"] for record in _score(group, said))
    )


def _words(asked: WideQuestion) -> set[str]:
    words = asked.question.casefold().rstrip("?.").replace(",", " ").split()
    return {*words, *(" ".join(pair) for pair in zip(words, words[1:], strict=False))}


class _NaiveBayes:
    """Which answer the words of a question make most likely, with add-one smoothing."""

    def __init__(self, group: Sequence[WideQuestion]) -> None:
        self.num_of: Counter[str] = Counter(_learned(asked) for asked in group)
        self.num_with: dict[str, Counter[str]] = defaultdict(Counter)
        for asked in group:
            self.num_with[_learned(asked)].update(_words(asked))

    def answer(self, asked: WideQuestion, *, with_options: bool) -> str:
        offered = list(self.num_of)
        if with_options and not _names(asked):
            offered = list(asked.options)
        return _said(asked, max(offered, key=lambda way: self._score(way, asked)))

    def _score(self, way: str, asked: WideQuestion) -> float:
        num = self.num_of[way]
        likely = sum(
            log((self.num_with[way][word] + 1) / (num + 2)) for word in _words(asked)
        )
        return likely + log(num + 1)


def answer_blindly(
    group: Sequence[WideQuestion], *, with_options: bool = False
) -> list[str]:
    """Answer each question after reading those about the videos of other folds.

    Args:
        group: Questions of one kind.
        with_options: Whether it picks among the options.

    Returns:
        The answers; empty where there is no other video.
    """
    videos = {video: i for i, video in enumerate(dict.fromkeys(q.video for q in group))}
    folds = [videos[asked.video] % NUM_FOLDS for asked in group]
    models = [
        _NaiveBayes([q for q, other in zip(group, folds, strict=True) if other != fold])
        for fold in range(NUM_FOLDS)
    ]
    return [
        models[fold].answer(asked, with_options=with_options)
        if models[fold].num_of
        else ""
        for asked, fold in zip(group, folds, strict=True)
    ]
