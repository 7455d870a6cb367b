"""What is looked for: words, phrases in quotes, and the part of the video it lies in."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from dynfocus.text import is_blank, read_moment
from dynfocus.words.terms import content_words, stem, terms_of, words_of

_CLOCK = r"\d{1,3}(?::\d{2}){1,2}(?:\.\d+)?"
_AMOUNT = r"(?:\d+(?:\.\d+)?|a|one|two|three|five|ten|fifteen|twenty|thirty|half an?)"
_UNIT = r"(?:seconds?|secs?|s|minutes?|mins?|hours?|h)"
_TIME = rf"(?:{_CLOCK}|{_AMOUNT}\s+{_UNIT}|(?:minute|hour)\s+\d+)"
_PATTERNS = {
    "between": re.compile(
        rf"\b(?:between|from)\s+({_TIME})\s+(?:and|to|until|till)\s+({_TIME})(?!\w)",
        re.IGNORECASE,
    ),
    "after": re.compile(
        rf"\b(?:after|since|later than|from)\s+({_TIME})(?:\s+on(?:wards)?)?(?!\w)",
        re.IGNORECASE,
    ),
    "before": re.compile(
        rf"\b(?:before|until|till|earlier than)\s+({_TIME})(?!\w)", re.IGNORECASE
    ),
    "at": re.compile(rf"\b(?:at|around|about)\s+({_CLOCK})(?!\w)", re.IGNORECASE),
    "first": re.compile(
        rf"\b(?:(?:in|during|within)\s+)?the\s+first\s+({_AMOUNT}\s+{_UNIT}|{_UNIT})\b",
        re.IGNORECASE,
    ),
    "last": re.compile(
        rf"\b(?:(?:in|during|within)\s+)?the\s+last\s+({_AMOUNT}\s+{_UNIT}|{_UNIT})\b",
        re.IGNORECASE,
    ),
}
_NUMBERS = {
    "a": 1, "one": 1, "two": 2, "three": 3, "five": 5, "ten": 10, "fifteen": 15,
    "twenty": 20, "thirty": 30, "half a": 0.5, "half an": 0.5,
}  # fmt: skip
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_QUOTED = re.compile(r'"([^"]+)"|\u201c([^\u201d]+)\u201d')
_AROUND = 15.0
"""Seconds before and after a moment that a query names with "at"."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """A question or some words, taken apart."""

    text: str
    """As it was written."""
    words: tuple[str, ...]
    """Its words without the times and those that only ask, folded."""
    terms: tuple[str, ...]
    """The same without endings, each once, in order."""
    phrases: tuple[tuple[str, ...], ...]
    """The terms of what stands in quotes: only texts with all of them in a row fit."""
    start: float = 0.0
    """Only what is shown or said after this moment fits, in seconds."""
    end: float = math.inf
    """Only what is shown or said before this moment fits."""
    last: float | None = None
    """Only the last so many seconds of a video fit."""

    @property
    def is_timed(self) -> bool:
        """Tell whether it names a part of the video."""
        return self.start > 0 or self.end < math.inf or self.last is not None


def parse_query(text: str) -> Query:
    """Take a query apart: "after 10:00", "in the first minute", "between 1:00 and 2:00".

    Args:
        text: The query.

    Raises:
        ValueError: It is empty, or its times exclude each other.
    """
    if is_blank(text):
        raise ValueError("the question is empty; write what to look for in the video")
    words, times = text, dict[str, list[float]]()
    for name, pattern in _PATTERNS.items():
        found = pattern.search(words)
        if found is not None:
            times[name] = [_seconds(one) for one in found.groups()]
            words = f"{words[: found.start()]} {words[found.end() :]}"
    start, end = _interval(times)
    if end <= start:
        raise ValueError(
            f"the times in {text!r} exclude each other: nothing is after {start:g} s and "
            f"before {end:g} s"
        )
    phrases = tuple(
        terms
        for one in _QUOTED.findall(words)
        if (terms := tuple(terms_of(one[0] or one[1])))
    )
    content = content_words(words_of(words))
    return Query(
        text=text,
        words=tuple(content),
        terms=tuple(dict.fromkeys(map(stem, content))),
        phrases=phrases,
        start=start,
        end=end,
        last=times["last"][0] if "last" in times else None,
    )


def _interval(times: dict[str, list[float]]) -> tuple[float, float]:
    starts, ends = [0.0], [math.inf]
    for name, seconds in times.items():
        if name in ("between", "after"):
            starts.append(seconds[0])
        if name in ("between", "before", "first"):
            ends.append(seconds[-1])
        if name == "at":
            starts.append(seconds[0] - _AROUND)
            ends.append(seconds[0] + _AROUND)
    return max(starts), min(ends)


def _seconds(time: str) -> float:
    """Read a clock time, "10 minutes", "minute 10", or "minute" alone."""
    time = time.casefold().strip()
    if ":" in time:
        return read_moment(time, "the time")
    unit = next((one for one in re.findall(r"[a-z]+", time) if re.fullmatch(_UNIT, one)), "s")  # fmt: skip
    amount = re.sub(rf"\b{unit}\b", "", time).strip() or "1"
    number = _NUMBERS.get(amount)
    return (float(amount) if number is None else number) * _SECONDS[unit[0]]
