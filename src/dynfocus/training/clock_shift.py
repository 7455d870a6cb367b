"""Videos that begin later on the clock: short samples that teach late times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HOUR = 3600
_MOST_GAPS = 12
_TIME = re.compile(r"\b(\d\d):([0-5]\d)\b")


@dataclass(frozen=True)
class ClockShift:
    """By how much a clock is ahead: more from some seconds on."""

    starts: tuple[float, ...]
    """Seconds from which it is further ahead, rising; before the first it is not."""
    ahead: tuple[int, ...]
    """Whole seconds by which it is ahead from there on, rising."""

    def at(self, seconds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return by how many seconds the clock is ahead at some times."""
        place = np.searchsorted(self.starts, seconds, side="right")
        return np.asarray((0, *self.ahead), dtype=np.int64)[place]


def draw_shift(
    times: NDArray[np.float64],
    rng: np.random.Generator,
    whole: Sequence[tuple[int, int]] = (),
    *,
    most_gaps: int = _MOST_GAPS,
) -> ClockShift:
    """Draw by how many whole seconds a video begins later, and where its clock jumps.

    It ends within an hour; a longer one stays.

    Args:
        times: Times of its frames, rising.
        rng: Draws; half of the videos stay.
        whole: First and last seconds of stretches in which the clock must not jump.
        most_gaps: The clock jumps at most so often between two frames.
    """
    room = _HOUR - int(np.ceil(times[-1]))
    total = int(rng.integers(max(room, 1)))
    if not rng.integers(2) or not total:
        return ClockShift((), ())
    starts = np.empty(0)
    if most_gaps:
        free = [
            float(t)
            for t in times[1:]
            if not any(first - 1 < t <= last + 1 for first, last in whole)
        ]
        count = min(int(rng.integers(most_gaps + 1)), len(free))
        starts = np.sort(rng.choice(free, count, replace=False)) if count else starts
    ahead = np.sort(rng.integers(total + 1, size=len(starts)))
    return ClockShift((float(times[0]), *starts.tolist()), (*ahead.tolist(), total))


def times_in(text: str) -> list[int]:
    """Return every time of a text, written ``mm:ss``, in seconds."""
    return [60 * int(match[1]) + int(match[2]) for match in _TIME.finditer(text)]


def shift_words(text: str, shift: ClockShift) -> str:
    """Write every time of a text, written ``mm:ss``, as the other clock shows it."""

    def later(match: re.Match[str]) -> str:
        (seconds,) = times_in(match[0])
        total = seconds + int(shift.at(np.asarray([seconds]))[0])
        return f"{total // 60:02d}:{total % 60:02d}"

    return _TIME.sub(later, text)


def shift_clock(
    shown: Any, turns: Sequence[tuple[str, str]], rng: np.random.Generator
) -> tuple[Any, list[tuple[str, str]]]:
    """Let half of all videos begin later within the first hour, their words with them.

    Short videos then teach the late times of long ones. In at most twelve places the
    clock also jumps ahead, as it does between the frames that are read of an hour, but
    never between two times of one text.

    Args:
        shown: A video, a dataclass with ``pts_seconds``.
        turns: Questions and answers about it; times in them are written ``mm:ss``.
        rng: Draws the shift.

    Returns:
        The video and the words on the other clock.
    """
    named = [times_in(text) for turn in turns for text in turn]
    shift = draw_shift(
        shown.pts_seconds.numpy(),
        rng,
        [(min(times), max(times)) for times in named if times],
    )
    if not shift.starts:
        return shown, list(turns)
    ahead = shown.pts_seconds.new_tensor(shift.at(shown.pts_seconds.numpy()))
    moved = [(shift_words(q, shift), shift_words(a, shift)) for q, a in turns]
    return replace(shown, pts_seconds=shown.pts_seconds + ahead), moved
