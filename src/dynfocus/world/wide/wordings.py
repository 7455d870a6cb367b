"""Wordings: one question put in many ways, some of them kept out of training.

A wording is a clause of the question in a frame. Clauses differ in syntax: a direct
question, an embedded one, a noun phrase, a sentence to complete. Frames surround them
politely, curtly or as a form to fill in. Spelling, case, punctuation and lettered options
vary on top and do not count as another structure. The set ``held_out`` has clauses, and
frames, that no training wording uses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from string import ascii_uppercase
from typing import Literal, get_args

import numpy as np

from dynfocus.text import check_choice
from dynfocus.world.wide.clauses import CLAUSES, FRAMES, Syntax

WordingSet = Literal["training", "held_out"]

ABSENT = "it does not appear"
"""The truth of a question about an object that never comes into view."""
UNANSWERABLE = "I cannot tell from this video"
"""The truth of a question that nobody can answer by watching."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """One structure: which clause in which frame."""

    syntax: Syntax
    clause: str
    frame: str
    held_out: bool


@dataclass(frozen=True, kw_only=True)
class Wording:
    """A question in words.

    Attributes:
        text: What is asked.
        answer: The right answer to this wording: with lettered options, a letter.
        held_out: Whether the structure is kept out of training.
        lettered: Whether options are listed under letters.
    """

    text: str
    answer: str
    held_out: bool
    lettered: bool = False


_AMERICAN = {
    "colour": "color",
    "neighbour": "neighbor",
    "centre": "center",
    "summarise": "summarize",
    "rumour": "rumor",
    "grey": "gray",
}
_END = re.compile(r"[.?!,;:]+(?=\s|$)")


@cache
def forms(name: str, which: WordingSet = "training") -> tuple[Form, ...]:
    """List the structures in which a question can be put.

    Args:
        name: A key of ``CLAUSES``.
        which: Those of training, in which neither clause nor frame is held out, or
            ``held_out``, in which one of them is, or both.

    Raises:
        ValueError: If there is no question of that name.
    """
    check_choice(name, "name", CLAUSES)
    found = []
    for syntax in get_args(Syntax):
        clauses = CLAUSES[name].of(syntax)
        for place, clause in enumerate(clauses):
            last = 0 < place == len(clauses) - 1
            for kept_out, frames in enumerate(FRAMES[syntax]):
                found += [
                    Form(
                        syntax=syntax,
                        clause=clause,
                        frame=frame,
                        held_out=last or bool(kept_out),
                    )
                    for frame in frames
                ]
    return tuple(form for form in found if form.held_out == (which == "held_out"))


def plain_wording(name: str, slots: Mapping[str, str]) -> str:
    """Put a question in its plainest words."""
    text = CLAUSES[name].plain.format(**slots)
    return text[0].upper() + text[1:]


def word(
    rng: np.random.Generator,
    name: str,
    slots: Mapping[str, str],
    answer: str,
    options: Sequence[str] = (),
    which: WordingSet = "training",
) -> Wording:
    """Put a question in words drawn at random.

    Args:
        rng: Decides the structure, the spelling, the case, the punctuation and, where
            there are two options or more, whether they are listed under letters.
        name: A key of ``CLAUSES``.
        slots: Words for its ``{...}``.
        answer: The right answer.
        options: The answer among distractors, or nothing.
        which: The set of structures to draw from.

    Returns:
        The wording; with lettered options its answer is the letter.
    """
    choices = forms(name, which)
    form = choices[int(rng.integers(len(choices)))]
    text = form.frame.replace("{}", form.clause.format(**slots))
    text = _dress(rng, text)
    if len(options) < 2 or rng.random() >= 0.25:
        return Wording(text=text, answer=answer, held_out=form.held_out)
    text, letter = _list_options(rng, text, answer, options)
    return Wording(text=text, answer=letter, held_out=form.held_out, lettered=True)


def _dress(rng: np.random.Generator, text: str) -> str:
    """Draw spelling, punctuation and case."""
    if rng.random() < 0.5:
        for british, american in _AMERICAN.items():
            text = text.replace(british, american)
    marks = rng.random()
    if marks < 0.25:
        text = _END.sub("", text)
    elif marks < 0.3 and text.endswith("?"):
        text += "?"
    case = rng.random()
    if case < 0.3:
        return text.lower()
    if case < 0.35:
        return text.upper()
    text = re.sub(r"\bi\b", "I", text)
    return text[0].upper() + text[1:]


_LISTS = ("{}. {}", "({}) {}", "{}) {}", "{}: {}")


def _list_options(
    rng: np.random.Generator, text: str, answer: str, options: Sequence[str]
) -> tuple[str, str]:
    """Add the options under letters; return the text and the letter of the answer."""
    style = _LISTS[int(rng.integers(len(_LISTS)))]
    gap = "\n" if rng.random() < 0.5 else " "
    lines = [
        style.format(letter, option)
        for letter, option in zip(ascii_uppercase, options, strict=False)
    ]
    return gap.join([text, *lines]), ascii_uppercase[list(options).index(answer)]
