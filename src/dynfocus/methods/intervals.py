"""Intervals of time that a text names, read as a person would read them.

`dynfocus.methods.loops.official` reads them as the published code of SlowFocus does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Interval = tuple[float, float]
"""Begin and end in seconds; both are the same for a moment."""

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_HOURS, _MINUTES, _SECOND = (
    r"h(?:ours?|rs?)?",
    r"m(?:inutes?|ins?)?",
    r"s(?:econds?|ecs?)?",
)
_TIME = re.compile(
    rf"""(?<![\w:.])(?:
    (?P<clock>\d+(?::[0-5]\d){{1,2}}(?:\.\d+)?)(?![\w:]) |
    (?P<parts>\d+\s*{_HOURS}\s*\d+\s*{_MINUTES}(?:\s*\d+(?:\.\d+)?\s*{_SECOND})?
      | \d+\s*{_MINUTES}\s*(?:and\s+)?\d+(?:\.\d+)?\s*{_SECOND})(?![a-z]) |
    (?P<number>\d+(?:\.\d+)?)
      (?:[\s-]*(?P<unit>%|(?:percent|{_HOURS}|min(?:ute)?s?|{_SECOND})\b))?
      (?![\w:]|\.\d)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_FILLERS = (
    r"(?:(?:the|it|then|at|about|around|approximately|roughly|to|seconds?|time|mark|is|"
    r"of|in|on|start\w*|end\w*|finish\w*|stop\w*|lasts?)[^\w%]+)*"
)
_BETWEEN = re.compile(
    rf"""[^\w%]*(?:(?:mark|seconds?|time)\b[^\w%]*)?(?:
      (?P<dash>[-~\u2013\u2014\u2192]|\.\.+) |
      \b(?P<word>to|until|till|through|thru|and)\b |
      (?P<comma>,)
    )[^\w%]*(?P<more>{_FILLERS})[^\w%]*""",
    re.IGNORECASE | re.VERBOSE,
)
_PLACES = re.compile(
    r"(?:\b(?:at|around|about|near|by|after|before|since|until|from)|@)[^\w%]*"
    r"(?:(?:the|about|around|second|time|minute)[^\w%]+)*$",
    re.IGNORECASE,
)
_EDGE = re.compile(r"(?:^\W*|\bthe\s+)(?P<edge>first|last|final)\s+$", re.IGNORECASE)
_AT = re.compile(r"(?:\b(?:at|around|about|near)|@)\W*$", re.IGNORECASE)
_NAMED_UNIT = re.compile(r"\b(?P<unit>second|minute)\s+$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class _Time:
    """One time of a text, and where it stands."""

    span: tuple[int, int]
    value: float
    unit: str
    """``"clock"``, ``"s"``, ``"m"``, ``"h"``, ``"%"``, or empty for a bare number."""

    def seconds(self, duration: float, grid: int | None, unit: str) -> float:
        if unit == "%":
            return self.value / 100 * duration
        if unit == "" and grid is not None:
            return self.value / grid * duration
        return self.value * _SECONDS.get(unit, 1.0)


def find_intervals(
    text: str, duration: float, *, grid: int | None = None, needs_unit: bool = False
) -> list[Interval]:
    """Read the intervals that a text names, in the order in which it names them.

    Times are ``m:ss``, ``h:mm:ss``, numbers with a unit (seconds, minutes, hours, percent
    of the video), or bare numbers. Both ends of a pair may share one unit, and a pair may
    stand in reverse. Where a text names single times and no pair, each is a moment.

    Args:
        text: What a model or a user wrote.
        duration: Length of the video in seconds.
        grid: Bare numbers count steps of a grid of so many over the video, as for a
            model that was trained on them; without, they are seconds.
        needs_unit: Take no bare numbers, and single times only where a word such as
            "at" says that they are a place in the video: for questions, in which numbers
            count other things, too.

    Returns:
        Begin and end in seconds, begin first; they may lie outside the video.
    """
    times = list(_times(text))
    pairs: list[Interval] = []
    moments: list[Interval] = []
    place = 0
    while place < len(times):
        one = times[place]
        other = times[place + 1] if place + 1 < len(times) else None
        edge = _EDGE.search(text[: one.span[0]])
        if edge is not None and one.unit not in ("", "clock"):
            length = min(one.seconds(duration, grid, one.unit), duration)
            is_first = edge["edge"].lower() == "first"
            pairs.append((0.0, length) if is_first else (duration - length, duration))
        elif other is not None and _is_pair(text, one, other, needs_unit):
            unit = one.unit or ("" if other.unit == "clock" else other.unit)
            last = other.unit or ("" if one.unit == "clock" else one.unit)
            ends = (
                one.seconds(duration, grid, unit),
                other.seconds(duration, grid, last),
            )
            pairs.append((min(ends), max(ends)))
            place += 1
        elif _is_moment(text, one, needs_unit):
            at = one.seconds(duration, grid, one.unit)
            moments.append((at, at))
        place += 1
    return pairs or moments


def write_intervals(intervals: Iterable[Interval]) -> str:
    """Write intervals for people: "from 3.0 to 4.5 s and at 9.0 s"."""
    return " and ".join(
        f"from {start:.1f} to {end:.1f} s" if end > start else f"at {start:.1f} s"
        for start, end in intervals
    )


def merge_intervals(intervals: Iterable[Interval]) -> list[Interval]:
    """Join intervals that overlap or touch, in order of time."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def _times(text: str) -> Iterator[_Time]:
    for found in _TIME.finditer(text):
        if found["clock"]:
            value = 0.0
            for part in found["clock"].split(":"):
                value = 60 * value + float(part)
            yield _Time(span=found.span(), value=value, unit="clock")
        elif found["parts"]:
            parts = re.findall(r"(\d+(?:\.\d+)?)\s*([hms])", found["parts"].lower())
            value = sum(float(number) * _SECONDS[unit] for number, unit in parts)
            yield _Time(span=found.span(), value=value, unit="s")
        else:
            unit = (found["unit"] or "").lower()
            unit = "%" if unit == "percent" else unit[:1]
            named = _NAMED_UNIT.search(text[: found.start()])
            if named and not unit:
                unit = named["unit"][0].lower()
            yield _Time(span=found.span(), value=float(found["number"]), unit=unit)


def _is_pair(text: str, one: _Time, other: _Time, needs_unit: bool) -> bool:
    """Tell whether two times that follow one another are the ends of an interval."""
    between = _BETWEEN.fullmatch(text[one.span[1] : other.span[0]])
    if between is None or (needs_unit and not (one.unit or other.unit)):
        return False
    before = text[: one.span[0]]
    is_closed = bool(re.search(r"(?:end|finish|stop|last)", between["more"], re.I))
    if between["comma"]:
        is_open = bool(re.search(r"[\[({<]\s*[\"']?$", before))
        return is_closed or is_open or bool(re.search(r"start\W*$", before, re.I))
    if (between["word"] or "").lower() == "and":
        return is_closed or not _AT.search(before)
    return True


def _is_moment(text: str, time: _Time, needs_unit: bool) -> bool:
    before = text[: time.span[0]]
    if time.unit == "clock":
        return True
    is_placed = bool(_PLACES.search(before) or _NAMED_UNIT.search(before))
    if needs_unit:
        return bool(time.unit) and is_placed
    alone = not re.search(r"\w", before + text[time.span[1] :])
    return bool(time.unit) or is_placed or alone
