"""The scores of a video over time: a drawing in a page, or several side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from dynfocus.atomic import check_writable, write_atomically
from dynfocus.report.pages import (
    FAINT,
    INK,
    PAPER,
    Colour,
    choose_ticks,
    describe_length,
    font,
    format_time,
    render,
    shorten,
)
from dynfocus.text import plural
from dynfocus.video import as_file

if TYPE_CHECKING:
    from dynfocus.index import Pictures, VideoIndex
    from dynfocus.models.conversation import FrameReport, WordReport

Interval = tuple[float, float]

_THINNEST = 1.2

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
_MAX_RATIO = 2  # of height to width, of a picture below a chart
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


@dataclass(frozen=True)
class _Axes:
    """Where times and scores lie in a drawing."""

    start: float
    end: float
    left: float
    width: float
    base: float
    height: float

    def x(self, seconds: float) -> float:
        place = (seconds - self.start) / (self.end - self.start)
        return self.left + self.width * min(max(place, 0), 1)

    def y(self, score: float) -> float:
        return self.base - self.height * min(max(score, 0), 1)

    def top_of_cone(self, score: float) -> float:
        return min(self.y(score), self.base - 4)

    def time(self, seconds: float) -> str:
        return format_time(seconds, with_tenths=self.end - self.start < _MINUTE)

    def bands(self, evidence: Sequence[Interval]) -> list[Interval]:
        """Leave the evidence that there is a place for."""
        return [(a, b) for a, b in evidence if a < self.end and b > self.start]

    def steps(self, frames: Sequence[FrameReport]) -> list[tuple[float, float, float]]:
        """Give where each frame begins and ends, and how high; it lasts to the next."""
        ends = [*(frame.time for frame in frames[1:]), self.end]
        return [
            (self.x(frame.time), self.x(end), self.y(frame.score))
            for frame, end in zip(frames, ends, strict=True)
        ]


def _end(frames: Sequence[FrameReport], start: float, end: float) -> float:
    """Give the end of the axis, which no frame exceeds."""
    if not frames:
        raise ValueError("frames must hold at least one frame, got none")
    return max(end, frames[-1].time, start + 1e-3)


def draw_timeline(
    frames: Sequence[FrameReport],
    end: float,
    evidence: Sequence[Interval] = (),
    *,
    start: float = 0.0,
    looked: Sequence[Interval] = (),
    words: Sequence[WordReport] = (),
) -> str:
    """Draw scores over time: Cones as bars, Rods as ticks below, evidence as bands.

    Of two frequencies, dense frames are bars and the others ticks.

    Args:
        frames: Sampled frames in time order; each lasts until the next.
        end: Where the video, or the excerpt of it, ends, in seconds.
        evidence: Half-open intervals in seconds to shade.
        start: Where an excerpt begins, in seconds.
        looked: Those that were looked at again, to frame.
        words: What was read about the question, as a track below.

    Returns:
        One ``<svg>`` element.
    """
    end = _end(frames, start, end)
    axes = _Axes(start, end, left=8, width=984, base=130, height=120)
    steps = axes.steps(frames)
    area = "".join(f"L{x:.1f} {y:.1f}H{end:.1f}" for x, end, y in steps)
    cones, rods = [], []
    for frame, (x, end, _) in zip(frames, steps, strict=True):
        if not frame.is_fine:
            rods.append(f"M{x:.1f} 136V146")
            continue
        width = max(min(end - x - 0.6, 10.0), _THINNEST)
        top = axes.top_of_cone(frame.score)
        sides = (f"{side:.1f}" for side in (x, top, width, axes.base - top))
        cones.append((*sides, axes.time(frame.time), f"{frame.score:.2f}"))

    def bands(intervals: Sequence[Interval]) -> list[tuple[str, ...]]:
        return [
            (
                f"{axes.x(start):.1f}",
                f"{max(axes.x(end) - axes.x(start), _THINNEST):.1f}",
                axes.time(start),
                axes.time(end),
            )
            for start, end in axes.bands(intervals)
        ]

    return render(
        "timeline.svg",
        num_frames=len(frames),
        noun="Cone" if all(one.kind in ("cone", "rod") for one in frames) else "dense",
        bands=bands(evidence),
        looked=bands(looked),
        words=[
            (*place, word.text)
            for word in words
            for place in bands([(word.time, max(word.end, word.time + 1e-3))])
        ],
        area=f"M{steps[0][0]:.1f} 130{area}L{steps[-1][1]:.1f} 130Z",
        cones=cones,
        rods="".join(rods),  # one path, so that hours of video stay a small page
        rod_width=1.6 if len(frames) <= 400 else 0.8,
        ticks=[
            (
                f"{axes.x(tick):.1f}",
                "middle" if tick > axes.start else "start",
                axes.time(tick),
            )
            for tick in choose_ticks(axes.end, axes.start)
        ],
    )


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
        _end(self.frames, 0, 0)

    def shows_answer(self, seconds: float) -> bool:
        """Tell whether a moment lies in the evidence."""
        return any(start <= seconds < end for start, end in self.evidence)

    def summary(self) -> str:
        """Say in one line what was kept, and how much of the evidence that is."""
        cones = [frame for frame in self.frames if frame.is_fine]
        tokens = sum(frame.tokens for frame in self.frames)
        text = f"Cones: {len(cones)} of {plural(len(self.frames), 'frame')}, {plural(tokens, 'token')}"
        if not self.evidence:
            return text
        shown = [frame for frame in self.frames if self.shows_answer(frame.time)]
        hits = sum(frame.is_fine for frame in shown)
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
    def axes(self) -> _Axes:
        start, end = self.index.interval
        return _Axes(
            start,
            _end(self.timeline.frames, start, end),
            left=self.left,
            width=_COLUMN - 1,
            base=self.top + _QUESTION + _CHART,
            height=_CHART,
        )

    def _words(self) -> None:
        letters = font(19, bold=True)
        question = shorten(self.timeline.question, letters, _COLUMN)
        self.draw.text((self.left, self.top), question, INK, letters)
        summary = self.timeline.summary()
        self.draw.text((self.left, self.top + 28), summary, FAINT, font(15))

    def _bands(self) -> None:
        axes = self.axes
        for start, end in axes.bands(self.timeline.evidence):
            right = max(axes.x(end), axes.x(start) + 1)
            box = (axes.x(start), axes.y(1) - 4, right, axes.base + _TICKS)
            self.draw.rectangle(box, fill=_EVIDENCE)

    def _scores(self) -> None:
        """Draw the scores as steps; each frame lasts until the next."""
        base = self.axes.base
        places = self.axes.steps(self.timeline.frames)
        steps = [point for x, end, y in places for point in ((x, y), (end, y))]
        outline = [(steps[0][0], base), *steps, (steps[-1][0], base)]
        self.draw.polygon(outline, fill=(*_SCORE, _AREA_OPACITY))
        self.draw.line(steps, fill=_SCORE, width=2)

    def _cones_and_rods(self) -> None:
        base = self.axes.base
        for frame in self.timeline.frames:
            x = self.axes.x(frame.time)
            if frame.is_fine:
                top = self.axes.top_of_cone(frame.score)
                self.draw.rectangle((x, top, x + 2, base), fill=_CONE)
            else:
                ends = (x, base + _ROD_GAP, x, base + _TICKS)
                self.draw.line(ends, fill=_ROD)

    def _axis(self) -> None:
        axes = self.axes
        right, low = self.left + _COLUMN, axes.base + _TICKS
        self.draw.line((self.left, axes.base, right, axes.base), fill=INK)
        self.draw.line((self.left, axes.y(1), right, axes.y(1)), fill=_LINE)
        for seconds in choose_ticks(axes.end, axes.start):
            x = axes.x(seconds)
            self.draw.line((x, low + 2, x, low + 7), FAINT)
            anchor = "la" if seconds == axes.start else "ma"
            text = axes.time(seconds)
            self.draw.text((x, low + 9), text, FAINT, font(14), anchor=anchor)

    def _pictures(self, sheet: Image.Image, thumbnails: np.ndarray | Pictures) -> None:
        """Show the Cones of the highest scores in time order."""
        from dynfocus.models.conversation import best_cones

        times = np.asarray(self.index.features.pts_seconds.cpu())
        top = int(self.axes.base) + _TICKS + _AXIS
        width = _picture_width()
        for place, frame in enumerate(best_cones(self.timeline.frames, _PICTURES)):
            picture = thumbnails[np.abs(times - frame.time).argmin()]
            x = self.left + place * (width + _PICTURE_GAP)
            height = _picture_height(picture.shape)
            narrow = max(1, round(height * picture.shape[1] / picture.shape[0]))
            shown = Image.fromarray(picture).resize((min(width, narrow), height))
            sheet.paste(shown, (x, top))
            colour = _HIT if self.timeline.shows_answer(frame.time) else _CONE
            band = (x, top + height, x + width - 1, top + height + 3)
            self.draw.rectangle(band, fill=colour)
            caption = f"{self.axes.time(frame.time)}  {frame.score:.2f}"
            self.draw.text((x, top + height + 6), caption, FAINT, font(13))


def _picture_width() -> int:
    return (_COLUMN - (_PICTURES - 1) * _PICTURE_GAP) // _PICTURES


def _pictures_height(index: VideoIndex) -> int:
    if index.thumbnails is None:
        return 0
    return _picture_height(index.thumbnails.shape[1:3]) + _CAPTION


def _picture_height(size: tuple[int, ...]) -> int:
    """Give the height of a picture in a row, of one that is very high a part of its own."""
    return max(1, round(_picture_width() * min(size[0] / size[1], _MAX_RATIO)))


def _draw_header(
    draw: ImageDraw.ImageDraw,
    index: VideoIndex,
    inner: int,
    timelines: Sequence[QuestionTimeline],
) -> None:
    name = as_file(index.source).name if index.source else "a video"
    letters = font(26, bold=True)
    draw.text((_MARGIN, _MARGIN - 4), shorten(name, letters, inner), INK, letters)
    length = describe_length(index.interval, index.duration)
    sampled = f"{plural(index.num_frames, 'frame')} sampled at {index.fps:g} a second"
    summary = f"{length}, {sampled}"
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
