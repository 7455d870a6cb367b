"""Whether a file can be used: opened, and decoded in places."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from dynfocus.errors import DamagedVideoWarning
from dynfocus.video.reader import VideoReader

_SIDE = 32
_NUM_PLACES = 3


@dataclass(frozen=True, kw_only=True)
class MediumTrial:
    """What opening a file showed."""

    problem: str | None = None
    """Why it cannot be read."""
    damage: str | None = None
    """What is wrong with it though it can be read."""
    seconds: float | None = None
    """Length of a video."""


def try_video(path: str | Path, *, is_full: bool = False) -> MediumTrial:
    """Open a video and decode some of it.

    Args:
        path: The file.
        is_full: Decode a frame of every second, not three frames in all.

    Returns:
        What it showed; a file that cannot be read is no error here.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DamagedVideoWarning)
        try:
            reader = VideoReader(path)
            reader.sample(
                fps=1.0 if is_full else None,
                num_frames=None if is_full else _NUM_PLACES,
                size=(_SIDE, _SIDE),
            )
        except (OSError, ValueError) as error:
            return MediumTrial(problem=" ".join(str(error).split()))
    notes = [str(w.message) for w in caught if w.category is DamagedVideoWarning]
    return MediumTrial(damage=notes[0] if notes else None, seconds=reader.duration)
