"""One question of the widened world, and how it is put in other words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from dynfocus.world.wide.facts import Interval
from dynfocus.world.wide.wordings import Wording, word


@dataclass(frozen=True, kw_only=True)
class WideQuestion:
    """One question about one video.

    Attributes:
        video: The video of the facts.
        kind: One of ``KINDS``.
        name: Key of its clauses in `dynfocus.world.wide.wordings`.
        slots: Words of those clauses.
        question: The plain wording.
        answer: The only right answer.
        options: The answer among distractors in a random order, or nothing.
        evidence: Half-open intervals in seconds; empty where the whole video is.
        held_out: Whether it is about a combination that training never shows.
        choice: What is balanced: the answer, or the place of its name in the question;
            empty where the answers are too many to be balanced.
        num_choices: Number of possible answers; 0 where there is no end of them.
        form: Questions of a kind and a form have the same choices, balanced apart from
            other forms.
        pair: Its part in a pair, ``basic`` (present) or ``hallucinated``; else empty.
        pair_id: Shared by the two of a pair; else empty.
        group: Shared by the four of a group; else empty.
        shows: What its evidence shows, in words; empty where that is not one object.
        wordings: The same question in other words.
    """

    video: str
    kind: str
    name: str
    slots: dict[str, str]
    question: str
    answer: str
    options: tuple[str, ...] = ()
    evidence: tuple[Interval, ...] = ()
    held_out: bool = False
    choice: str = ""
    num_choices: int = 0
    form: str = ""
    pair: str = ""
    pair_id: str = ""
    group: str = ""
    shows: str = ""
    wordings: tuple[Wording, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give the line of ``benchmark.jsonl``, without what only balancing needs."""
        line = asdict(self)
        for hidden in ("name", "slots", "choice", "num_choices", "form", "shows"):
            del line[hidden]
        return line


def put_in_words(rng: np.random.Generator, question: WideQuestion) -> WideQuestion:
    """Add two wordings of training and one that is held out."""
    wordings = tuple(
        word(
            rng,
            question.name,
            question.slots,
            question.answer,
            question.options,
            which,
        )
        for which in ("training", "training", "held_out")
    )
    return replace(question, wordings=wordings)
