"""The scores of one video for several questions, side by side in one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from dynfocus.atomic import check_writable, write_atomically
from dynfocus.report.lettering import (
    FAINT,
    INK,
    PAPER,
    Colour,
    choose_ticks,
    font,
    format_time,
    shorten,
)
from dynfocus.report.timeline import Interval

if TYPE_CHECKING:
    from dynfocus.index import Pictures, VideoIndex
    from dynfocus.models.conversation import FrameReport

_MARGIN = 24
_COLUMN = 760
_COLUMN_GAP = 36
_HEADER = 96
_QUESTION = 62
_CHART = 150
_TICKS = 16
_AXIS = 34
_PICTURES = 6
_PICTURE_GAP = 8
_CAPTION = 24
_ROW_GAP = 30
_ROD_GAP = 5
_MINUTE = 60.0

_CONE: Colour = (224, 138, 30)
_ROD: Colour = (143, 163, 191)
_SCORE: Colour = (59, 91, 146)
_AREA_OPACITY = 36
_EVIDENCE: Colour = (191, 227, 195)
_HIT: Colour = (46, 125, 79)
_LINE: Colour = (205, 208, 212)


@dataclass(frozen=True, kw_only=True)
class QuestionTimeline:
    """What a question makes of the frames of a video."""

    question: str
    """The question."""
    frames: Sequence[FrameReport]
    """One entry a sampled frame, in time order."""
    evidence: Sequence[Interval] = ()
    """Half-open intervals in seconds that show the answer, where they are known."""

    def __post_init__(self) -> None:
        if not self.frames:
            raise ValueError("frames must hold at least one frame, got none")

    def shows_answer(self, seconds: float) -> bool:
        """Tell whether a moment lies in the evidence."""
        return any(start <= seconds < end for start, end in self.evidence)

    def summary(self) -> str:
        """Say in one line what was kept, and how much of the evidence that is."""
        cones = [frame for frame in self.frames if frame.kind == "cone"]
        tokens = sum(frame.tokens for frame in self.frames)
        text = f"{len(cones)} of {len(self.frames)} frames are Cones, {tokens:,} tokens"
        if not self.evidence:
            return text
        shown = [frame for frame in self.frames if self.shows_answer(frame.time)]
        hits = sum(frame.kind == "cone" for frame in shown)
        return f"{text}; in the evidence {hits} of {len(shown)}"


def check_timelines_path(path: str | Path) -> None:
    """Fail now if timelines could not be written there later.

    Raises:
        ValueError: The ending is not ``.png``.
        UnwritableFileError: The folder is missing or refuses new files.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"a file of timelines must end in .png, got {path}")
    check_writable(path, what="the timelines")


def write_timelines(
    path: str | Path, index: VideoIndex, timelines: Sequence[QuestionTimeline]
) -> None:
    """Write the timelines of several questions about a video as a PNG file."""
    check_timelines_path(path)
    buffer = io.BytesIO()
    draw_timelines(index, timelines).save(buffer, format="PNG", optimize=True)
    write_atomically(path, buffer.getvalue())


def draw_timelines(
    index: VideoIndex, timelines: Sequence[QuestionTimeline]
) -> Image.Image:
    """Draw the timelines of several questions, two beside each other.

    Each shows the scores over time, Cones as bars, Rods as ticks below, the evidence
    as bands, and the Cones of the highest scores.

    Args:
        index: The video, with thumbnails where pictures are wanted.
        timelines: One or more questions about it.
    """
    if not timelines:
        raise ValueError("timelines must hold at least one question, got none")
    num_columns = min(2, len(timelines))
    num_rows = -(-len(timelines) // num_columns)
    panel_height = _QUESTION + _CHART + _TICKS + _AXIS + _pictures_height(index)
    width = 2 * _MARGIN + num_columns * (_COLUMN + _COLUMN_GAP) - _COLUMN_GAP
    height = _MARGIN + _HEADER + num_rows * (panel_height + _ROW_GAP)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet, "RGBA")  # which blends
    _draw_header(draw, index, width - 2 * _MARGIN, timelines)
    for number, timeline in enumerate(timelines):
        row, column = divmod(number, num_columns)
        x = _MARGIN + column * (_COLUMN + _COLUMN_GAP)
        y = _MARGIN + _HEADER + row * (panel_height + _ROW_GAP)
        _Panel(draw, index, timeline, x, y).draw_all(sheet)
    return sheet


@dataclass(frozen=True)
class _Panel:
    """One timeline, drawn with its upper left corner at ``left``, ``top``."""

    draw: ImageDraw.ImageDraw
    index: VideoIndex
    timeline: QuestionTimeline
    left: int
    top: int

    def draw_all(self, sheet: Image.Image) -> None:
        self._words()
        self._bands()
        self._scores()
        self._cones_and_rods()
        self._axis()
        if self.index.thumbnails is not None:
            self._pictures(sheet, self.index.thumbnails)

    @property
    def _base(self) -> int:
        return self.top + _QUESTION + _CHART

    @property
    def _duration(self) -> float:
        last = self.timeline.frames[-1].time
        return max(self.index.duration, last, 1e-3)

    def _x(self, seconds: float) -> float:
        share = min(max(seconds / self._duration, 0), 1)
        return self.left + (_COLUMN - 1) * share

    def _y(self, score: float) -> float:
        return self._base - _CHART * min(max(score, 0), 1)

    def _time(self, seconds: float) -> str:
        return format_time(seconds, with_tenths=self._duration < _MINUTE)

    def _words(self) -> None:
        letters = font(19, bold=True)
        question = shorten(self.timeline.question, letters, _COLUMN)
        self.draw.text((self.left, self.top), question, INK, letters)
        summary = self.timeline.summary()
        self.draw.text((self.left, self.top + 28), summary, FAINT, font(15))

    def _bands(self) -> None:
        for start, end in self.timeline.evidence:
            right = max(self._x(end), self._x(start) + 1)
            box = (self._x(start), self._y(1) - 4, right, self._base + _TICKS)
            self.draw.rectangle(box, fill=_EVIDENCE)

    def _scores(self) -> None:
        """Draw the scores as steps; each frame lasts until the next."""
        frames = self.timeline.frames
        ends = [*(frame.time for frame in frames[1:]), self._duration]
        steps = []
        for frame, end in zip(frames, ends, strict=True):
            y = self._y(frame.score)
            steps += [(self._x(frame.time), y), (self._x(end), y)]
        outline = [(steps[0][0], self._base), *steps, (steps[-1][0], self._base)]
        self.draw.polygon(outline, fill=(*_SCORE, _AREA_OPACITY))
        self.draw.line(steps, fill=_SCORE, width=2)

    def _cones_and_rods(self) -> None:
        for frame in self.timeline.frames:
            x = self._x(frame.time)
            if frame.kind == "cone":
                top = min(self._y(frame.score), self._base - 4)
                self.draw.rectangle((x, top, x + 2, self._base), fill=_CONE)
            else:
                ends = (x, self._base + _ROD_GAP, x, self._base + _TICKS)
                self.draw.line(ends, fill=_ROD)

    def _axis(self) -> None:
        right, low = self.left + _COLUMN, self._base + _TICKS
        self.draw.line((self.left, self._base, right, self._base), fill=INK)
        self.draw.line((self.left, self._y(1), right, self._y(1)), fill=_LINE)
        for seconds in choose_ticks(self._duration):
            x = self._x(seconds)
            self.draw.line((x, low + 2, x, low + 7), FAINT)
            anchor = "la" if seconds == 0 else "ma"
            text = self._time(seconds)
            self.draw.text((x, low + 9), text, FAINT, font(14), anchor=anchor)

    def _pictures(self, sheet: Image.Image, thumbnails: np.ndarray | Pictures) -> None:
        """Show the Cones of the highest scores in time order."""
        times = np.asarray(self.index.features.pts_seconds.cpu())
        top = self._base + _TICKS + _AXIS
        width = _picture_width()
        for place, frame in enumerate(_best_cones(self.timeline.frames)):
            picture = thumbnails[np.abs(times - frame.time).argmin()]
            x = self.left + place * (width + _PICTURE_GAP)
            height = round(width * picture.shape[0] / picture.shape[1])
            shown = Image.fromarray(picture).resize((width, height))
            sheet.paste(shown, (x, top))
            colour = _HIT if self.timeline.shows_answer(frame.time) else _CONE
            band = (x, top + height, x + width - 1, top + height + 3)
            self.draw.rectangle(band, fill=colour)
            caption = f"{self._time(frame.time)}  {frame.score:.2f}"
            self.draw.text((x, top + height + 6), caption, FAINT, font(13))


def _best_cones(frames: Sequence[FrameReport]) -> list[FrameReport]:
    cones = [frame for frame in frames if frame.kind == "cone"]
    best = sorted(cones, key=lambda frame: -frame.score)[:_PICTURES]
    return sorted(best, key=lambda frame: frame.time)


def _picture_width() -> int:
    return (_COLUMN - (_PICTURES - 1) * _PICTURE_GAP) // _PICTURES


def _pictures_height(index: VideoIndex) -> int:
    if index.thumbnails is None:
        return 0
    height, width = index.thumbnails.shape[1:3]
    return round(_picture_width() * height / width) + _CAPTION


def _draw_header(
    draw: ImageDraw.ImageDraw,
    index: VideoIndex,
    inner: int,
    timelines: Sequence[QuestionTimeline],
) -> None:
    name = Path(index.source).name if index.source else "a video"
    letters = font(26, bold=True)
    draw.text((_MARGIN, _MARGIN - 4), shorten(name, letters, inner), INK, letters)
    length = format_time(index.duration, with_tenths=index.duration < _MINUTE)
    summary = (
        f"{length} long, {index.num_frames} frames sampled at {index.fps:g} a second"
    )
    draw.text((_MARGIN, _MARGIN + 31), summary, FAINT, font(15))
    entries = [(_SCORE, "score of each frame, 0 to 1"), (_CONE, "Cones")]
    entries.append((_ROD, "Rods"))
    if any(timeline.evidence for timeline in timelines):
        entries.append((_EVIDENCE, "where the answer is shown"))
    x = float(_MARGIN)
    for colour, text in entries:
        draw.rectangle((x, _MARGIN + 60, x + 12, _MARGIN + 72), fill=colour)
        draw.text((x + 19, _MARGIN + 57), text, FAINT, font(15))
        x += 19 + font(15).getlength(text) + 24
