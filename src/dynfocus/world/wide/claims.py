"""Claims: questions that yes or no answers, made from others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dynfocus.world.wide.question import WideQuestion
from dynfocus.world.wide.wordings import plain_wording

STATEMENTS: dict[str, tuple[str, str]] = {
    "needle": (
        "the {thing} carries the letter {value}",
        "the {thing} does not carry the letter {value}",
    ),
    "size": ("the {thing} is {value}", "the {thing} is not {value}"),
    "attribute": (
        "the {attribute} of the object with the letter {letter} is {value}",
        "the {attribute} of the object with the letter {letter} is not {value}",
    ),
    "count": (
        "the number of times the {thing} appears is {value}",
        "the number of times the {thing} appears is not {value}",
    ),
    "direction": ("the {thing} moves {value}", "the {thing} does not move {value}"),
    "order": (
        "of the {thing} and the {other}, {value} appears first",
        "of the {thing} and the {other}, {value} does not appear first",
    ),
    "topic": (
        "{value} is shown most of the time",
        "{value} is not the room that is shown most of the time",
    ),
    "where": (
        "the {thing} is at the {value} of the screen",
        "the {thing} is not at the {value} of the screen",
    ),
    "action": (
        "the {thing} can be seen to {value}",
        "the {thing} is never seen to {value}",
    ),
    "different": (
        "the number of different objects is {value}",
        "the number of different objects is not {value}",
    ),
}
"""What is said of an answer, and its negation, by the name of the question."""


def make_claim(
    rng: np.random.Generator, question: WideQuestion, *, negated: bool | None = None
) -> WideQuestion:
    """Turn a question into one that yes or no answers, each in half of the cases.

    Args:
        rng: Decides whether yes is right, whether the claim is negated, and which wrong
            answer a false claim names.
        question: One whose name is in ``STATEMENTS``, with options.
        negated: Fixes the second of these.
    """
    answer = bool(rng.integers(2))
    says_no = bool(rng.integers(2)) if negated is None else negated
    value = question.answer
    if answer == says_no:  # what the claim says of its value is wrong
        others = [option for option in question.options if option != value]
        value = others[int(rng.integers(len(others)))]
    said_of = "" if question.name == "order" else value
    statement = STATEMENTS[question.name][says_no]
    slots = {"claim": statement.format(value=value, **question.slots)}
    said = "yes" if answer else "no"
    return replace(
        question,
        kind="claim",
        name="claim",
        slots=slots,
        question=plain_wording("claim", slots),
        answer=said,
        options=("yes", "no"),
        choice=said,
        num_choices=2,
        form=f"{question.form or question.name} {said_of} {says_no}",
    )
