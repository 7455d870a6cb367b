"""What benchmarks with options share: prompts, marks by letter, accuracy of parts."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from dynfocus.evaluation.benchmarks.benchmark import Figure, Item
from dynfocus.evaluation.benchmarks.letters import (
    LETTERS,
    Reader,
    read_as_lmms_eval,
    read_strictly,
)
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.metrics import Estimate, Record, accuracy

Records = Sequence[Record]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Who reads the replies of a benchmark."""

    official: Reader
    """The script of its authors."""
    lmms_eval: Reader = read_as_lmms_eval
    """The task of lmms-eval."""
    official_hit: Callable[[str, str, Sequence[str]], bool] | None = None
    """Whether the authors' script takes a reply for right, where it reads no letter."""
    drops_unparsed: bool = False
    """Whether the authors' script leaves unreadable replies out of the count."""
    guesses: bool = False
    """Whether it guesses for them."""

    def mark(self, record: Record, options: BenchmarkOptions) -> dict[str, Any]:
        """Read a reply in all ways, and judge it as the options say.

        Returns:
            ``parsed``, ``right`` and ``is_read`` of the chosen way, and beside them
            ``right_strict``, ``right_official`` and ``is_counted_officially``.
        """
        reply, key, choices = record.get("answer"), record["truth"], record["choices"]
        if reply is None:
            return {**_NOTHING, "is_counted_officially": False}
        readers = {
            "strict": read_strictly,
            "official": self.official,
            "lmms-eval": self.lmms_eval,
        }
        read = {name: reader(reply, choices) for name, reader in readers.items()}
        letters = LETTERS[: max(1, len(choices))]
        official = read["official"]
        if official is None and self.guesses:
            official = _guess(record["id"], letters)
        hit = self.official_hit
        found = read[options.parsing]
        is_read = found is not None
        if found is None and options.unparsed == "guessed":
            found, is_read = _guess(record["id"], letters), True
        right_official = hit(reply, key, choices) if hit else official == key
        is_officially_right = options.parsing == "official" and hit is not None
        return {
            "parsed": found,
            "is_read": is_read or is_officially_right,
            "right": right_official if is_officially_right else found == key,
            "right_strict": read["strict"] == key,
            "right_official": right_official,
            "is_counted_officially": official is not None or not self.drops_unparsed,
        }


_NOTHING = {
    "parsed": None,
    "is_read": False,
    "right": False,
    "right_strict": False,
    "right_official": False,
}


def _guess(name: str, letters: str) -> str:
    """Draw a letter, the same for a question in every run."""
    return random.Random(name).choice(letters)


def is_counted(record: Record, options: BenchmarkOptions) -> bool:
    """Tell whether a question is part of the count."""
    if record.get("state") == "missing":
        return options.missing_videos == "wrong"
    if record.get("state") == "failed":
        return options.unanswered == "wrong"
    return bool(record.get("is_read", True)) or options.unparsed != "dropped"


def counted(records: Records, options: BenchmarkOptions) -> list[Record]:
    """Leave out the questions that the options drop."""
    return [record for record in records if is_counted(record, options)]


def share(records: Records, field: str = "right", *, macro: bool = False) -> Estimate:
    """Estimate the share of records with a field, in percent; 0 of none.

    Args:
        records: The records.
        field: What says whether one is right.
        macro: Take the mean over kinds.
    """
    if not records:
        return Estimate(0.0)
    marked = [{**record, "right": record[field]} for record in records]
    return accuracy(marked, over_kinds=macro)


def mean_score(
    records: Records, field: str, most: float, *, macro: bool = False
) -> Estimate:
    """Estimate the mean of a score that goes up to ``most``, with its interval."""
    if not records:
        return Estimate(0.0)
    shares = [{**record, "right": record[field] / most} for record in records]
    found = accuracy(shares, over_kinds=macro)
    low, high = (
        None if one is None else one * most / 100 for one in (found.low, found.high)
    )
    return Estimate(found.value * most / 100, low, high)


def parts(records: Records, group: str) -> dict[str, list[Record]]:
    """Put records together by what they are part of; one may be part of several."""
    found: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        names = record["groups"].get(group)
        for name in names if isinstance(names, list | tuple) else [names]:
            if name is not None:
                found[str(name)].append(record)
    return dict(found)


def option_places(records: Records) -> dict[str, int]:
    """Write a submission: the place of each option, -1 where none was read."""
    return {
        str(r["id"]): LETTERS.index(r["parsed"]) if r.get("parsed") else -1
        for r in records
    }


def choice_figures(
    records: Records,
    options: BenchmarkOptions,
    *,
    groups: Sequence[str] = (),
    macro: bool = False,
    main: str = "Overall",
) -> list[Figure]:
    """Make the figures of a benchmark with options.

    Args:
        records: Marked records.
        options: What is counted.
        groups: The groups whose parts have figures of their own.
        macro: Whether the main figure is the mean over kinds.
        main: What the main figure is called.

    Returns:
        The main figure, those of the parts, and what other rules would give.
    """
    known = [record for record in records if record["truth"]]
    kept = counted(known, options)
    figures = [
        Figure(
            label=main,
            estimate=share(kept, macro=macro),
            num_questions=len(kept),
            is_main=True,
        )
    ]
    for group in groups:
        figures += [
            Figure(label=f"{name}", estimate=share(part), num_questions=len(part))
            for name, part in parts(kept, group).items()
        ]
    official = [r for r in known if r["is_counted_officially"]]
    beside = (
        ("strict parsing", known, "right_strict"),
        ("official parsing and count", official, "right_official"),
    )
    figures += [
        Figure(
            label=f"{main}, {label}",
            estimate=share(some, field, macro=macro),
            num_questions=len(some),
            is_beside=True,
        )
        for label, some, field in beside
    ]
    return figures


def lettered(choices: Sequence[str], form: str = "{letter}. {text}") -> str:
    """Write options, a line each."""
    pairs = zip(LETTERS + "IJ", choices, strict=False)
    return "\n".join(form.format(letter=one, text=text) for one, text in pairs)


def name_letters(choices: Sequence[str]) -> str:
    """Name the letters of the options: ``A, B, C or D``."""
    letters = LETTERS[: len(choices)]
    return " or ".join(filter(None, [", ".join(letters[:-1]), letters[-1:]]))


BRACKETED = partial(lettered, form="({letter}) {text}")
"""Writes options as ``(A) text``."""
LETTER_REQUEST = "Answer with the letter of the right option alone."


def ask_by_letter(item: Item, options: BenchmarkOptions) -> str:
    """Write a question, its options and the request for a letter."""
    return f"{item.question}\n{lettered(item.choices)}\n{LETTER_REQUEST}"
