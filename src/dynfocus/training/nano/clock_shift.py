"""Videos that begin later on the clock: short samples that teach late times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAST_SECOND = 99 * 60 + 59
"""The latest time that ``mm:ss`` can write."""
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
    limit: int,
    rng: np.random.Generator,
    *,
    most_gaps: int = 0,
    whole: Sequence[tuple[int, int]] = (),
) -> ClockShift:
    """Draw by how many whole seconds a video begins later, and where its clock jumps.

    Args:
        times: Times of its frames, rising.
        limit: The shifted video ends before it; a longer one stays.
        rng: Draws; half of the videos stay.
        most_gaps: The clock jumps at most so often between two frames.
        whole: First and last seconds of stretches in which it must not.
    """
    room = limit - int(np.ceil(times[-1]))
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


def shift_video(shown: Any, shift: ClockShift) -> Any:
    """Give a video, a dataclass with ``pts_seconds``, the times of the other clock."""
    ahead = shown.pts_seconds.new_tensor(shift.at(shown.pts_seconds.numpy()))
    return replace(shown, pts_seconds=shown.pts_seconds + ahead)
