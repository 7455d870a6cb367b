"""Lines of successive pictures become texts with a start and an end.

A line that stays, moves, scrolls, is typed on or runs through as a ticker is one text. One
that the reader misses for a moment goes on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from dynfocus.words.timed_text import Box, TimedText

_GRACE_SECONDS = 2.5
_ALIKE = 0.8
_SAME_PLACE = 0.5  # overlap of boxes over their union
_LEAST_OVERLAP = 6  # characters that a ticker shows in both pictures
_SLACK = 2  # characters at its edges that may be cut
_LONGEST_TICKER = 400
_SAME_MARGIN = 0.01  # of the width of the picture
_DIGITS = re.compile(r"\d")


class Line(NamedTuple):
    """A line of one picture."""

    text: str
    """What it says."""
    confidence: float
    """How sure the reader is, from 0 to 1."""
    box: Box
    """Left, top, right and bottom as fractions of the picture."""


@dataclass(kw_only=True)
class _Track:
    start: float
    text: str
    confidence: float
    box: Box
    shown: str
    """The text as the last picture showed it."""
    place: Box
    """Where it stood there."""
    gone: float | None = None
    """When it was first missing."""


class TextTracks:
    """Follow lines from picture to picture, in memory for those on the screen."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []

    def update(self, seconds: float, lines: Sequence[Line]) -> list[TimedText]:
        """Take the lines of the next picture that was read.

        Args:
            seconds: When it is shown.
            lines: Its lines.

        Returns:
            Texts that have ended.
        """
        free = list(self._tracks)
        rest = []
        for line in lines:  # the surest first: the same text
            track = _nearest(
                [t for t in free if _key(t.shown) == _key(line.text)], line
            )
            if track is None:
                rest.append(line)
                continue
            free = [one for one in free if one is not track]
            _go_on(track, line, track.text)
        for line in rest:
            self._place(line, free, seconds)
        for track in free:
            if track.gone is None:
                track.gone = seconds
        return self.wait(seconds)

    def _place(self, line: Line, free: list[_Track], seconds: float) -> None:
        """Find the text that a line goes on with, or begin one; takes it from ``free``."""
        for number, track in enumerate(free):
            text = _continued(track, line)
            if text is not None:
                _go_on(track, line, text)
                del free[number]
                return
        self._tracks.append(
            _Track(
                start=seconds,
                text=line.text,
                confidence=line.confidence,
                box=line.box,
                shown=line.text,
                place=line.box,
            )
        )

    def wait(self, seconds: float) -> list[TimedText]:
        """Let time pass without another picture being read.

        Args:
            seconds: How far the video has come.

        Returns:
            Texts that have ended.
        """
        ended = [
            t
            for t in self._tracks
            if t.gone is not None and seconds - t.gone >= _GRACE_SECONDS
        ]
        self._tracks = [t for t in self._tracks if t not in ended]
        return [_finished(track, seconds) for track in ended]

    def close(self, seconds: float) -> list[TimedText]:
        """End all texts.

        Args:
            seconds: Where the video ends.
        """
        tracks, self._tracks = self._tracks, []
        return [_finished(track, seconds) for track in tracks]

    def shown(self, seconds: float) -> list[TimedText]:
        """Give the texts that are followed as if they ended now; they go on.

        Args:
            seconds: How far the video has come.
        """
        return [_finished(track, seconds) for track in self._tracks]

    def state(self) -> list[dict[str, Any]]:
        """Give what is being followed, for `resume`."""
        return [asdict(track) for track in self._tracks]

    def resume(self, state: Sequence[dict[str, Any]]) -> None:
        """Go on with what was being followed.

        Args:
            state: What `state` gave.
        """
        self._tracks = [
            _Track(**{**one, "box": tuple(one["box"]), "place": tuple(one["place"])})
            for one in state
        ]


def _finished(track: _Track, seconds: float) -> TimedText:
    return TimedText(
        start=track.start,
        end=max(track.start, seconds if track.gone is None else track.gone),
        text=track.text,
        source="screen",
        box=track.box,
        confidence=track.confidence,
    )


def _go_on(track: _Track, line: Line, text: str) -> None:
    """Follow a text to where it is now; of two readings the surer one is kept."""
    if text != track.text or line.confidence > track.confidence:
        track.box, track.confidence = line.box, line.confidence
    track.text, track.shown, track.place, track.gone = text, line.text, line.box, None


def _continued(track: _Track, line: Line) -> str | None:
    """Give the whole text of a track that a line goes on with; None if it does not."""
    old, new = track.shown, line.text
    is_same_row = _is_same_row(track.place, line.box)
    is_typed = is_same_row and abs(track.place[0] - line.box[0]) < _SAME_MARGIN
    if is_typed and old == track.text and _key(new).startswith(_key(old)):
        return new
    is_there = _overlap(track.place, line.box) >= _SAME_PLACE
    if is_there and _is_alike(_key(old), _key(new)):
        return new if line.confidence > track.confidence else track.text
    if not is_same_row:
        return None
    if len(track.text) > _LONGEST_TICKER:
        return None
    return _run_on(track.text, old, new)


def _run_on(text: str, old: str, new: str) -> str | None:
    """Join what a ticker showed with what it shows now."""
    match = SequenceMatcher(None, old, new, autojunk=False).find_longest_match()
    reaches_end = match.a + match.size >= len(old) - _SLACK
    has_moved = match.a > match.b + _SLACK
    is_joined = reaches_end and match.b <= _SLACK
    if match.size < _LEAST_OVERLAP or not (has_moved and is_joined):
        return None
    cut = len(old) - match.a - match.size
    return text[: len(text) - cut] + new[match.b + match.size :]


def _is_alike(old: str, new: str) -> bool:
    """Tell one text read twice, with another mistake, from two texts."""
    if _DIGITS.findall(old) != _DIGITS.findall(new):
        return False
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return matcher.quick_ratio() >= _ALIKE and matcher.ratio() >= _ALIKE


def _key(text: str) -> str:
    """Reduce a text to what must be equal: no white space, no case."""
    return "".join(text.split()).casefold()


def _nearest(tracks: Sequence[_Track], line: Line) -> _Track | None:
    def distance(track: _Track) -> float:
        return sum(abs(a - b) for a, b in zip(track.place, line.box, strict=True))

    return min(tracks, key=distance, default=None)


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def _is_same_row(one: Box, other: Box) -> bool:
    height = min(one[3], other[3]) - max(one[1], other[1])
    return height >= 0.6 * max(one[3] - one[1], other[3] - other[1], 1e-9)
