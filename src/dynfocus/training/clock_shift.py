"""Videos that begin later on the clock: short samples that teach late times."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

LAST_SECOND = 99 * 60 + 59
"""The latest time that ``mm:ss`` can write."""
_TIME = re.compile(r"\b(\d\d):([0-5]\d)\b")


def draw_shift(last_second: float, limit: int, rng: np.random.Generator) -> int:
    """Draw by how many whole seconds a video begins later.

    Args:
        last_second: Time of its last frame.
        limit: The shifted video ends before it; a longer one stays.
        rng: Draws; half of the videos stay.

    Returns:
        Whole seconds, at least 0.
    """
    room = limit - int(np.ceil(last_second))
    shift = int(rng.integers(max(room, 1)))
    return shift if rng.integers(2) else 0


def shift_words(text: str, seconds: int) -> str:
    """Move every time of a text, written ``mm:ss``, to so many seconds later."""

    def later(match: re.Match[str]) -> str:
        total = 60 * int(match[1]) + int(match[2]) + seconds
        return f"{total // 60:02d}:{total % 60:02d}"

    return _TIME.sub(later, text)


def shift_video(shown: Any, seconds: int) -> Any:
    """Move the times of a video, a dataclass with ``pts_seconds``, to later ones."""
    return replace(shown, pts_seconds=shown.pts_seconds + seconds)
