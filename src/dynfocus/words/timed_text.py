"""One piece of text with the time at which a video shows or says it."""

from __future__ import annotations

import math
from typing import Literal

from dynfocus.validation import checked

Source = Literal["subtitle", "transcript", "screen", "caption"]
"""Where a text was found: in subtitles, in a transcript of speech, in the picture; or it
is a caption that a model wrote."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom as fractions of the picture."""


@checked
class TimedText:
    """A text that a video shows or says from one moment to another.

    Raises:
        ValueError: It ends before it starts, is empty, or its box lies outside of the
            picture.
    """

    start: float
    """Seconds from the beginning of the video."""
    end: float
    """Where it ends, in seconds; not before the start."""
    text: str
    """What is shown or said; lines are separated by line breaks."""
    source: Source
    """Where it was found."""
    box: Box | None = None
    """Where in the picture it stands, upright as displayed; None where that is unknown."""
    confidence: float | None = None
    """How sure its reader is, from 0 to 1; None where the reader does not say."""
    language: str | None = None
    """The language's code as the file writes it, such as ``en``."""
    speaker: str | None = None
    """Who says it, as the file names them."""

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end < math.inf:
            raise ValueError(
                "a text must last from its start to an end not before it, from 0 s on, "
                f"got {self.start:g} to {self.end:g} s"
            )
        if not self.text.strip():
            raise ValueError("a timed text must say something, got an empty text")
        if self.box is not None and not _is_inside(self.box):
            raise ValueError(
                "box must be left, top, right and bottom, each from 0 to 1 and in order, "
                f"got {self.box}"
            )
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence must be from 0 to 1, got {self.confidence:g}")


def _is_inside(box: Box) -> bool:
    left, top, right, bottom = box
    return 0 <= left <= right <= 1 and 0 <= top <= bottom <= 1
