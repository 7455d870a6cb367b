"""The scores of a video over time, as a drawing inside an HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dynfocus.report.lettering import choose_ticks, format_time
from dynfocus.report.pages import render

Interval = tuple[float, float]

_WIDTH = 1000
_TOP = 10
_BASE = 130
_RODS = 146
_AXIS = 162
_HEIGHT = 184
_LEFT = 8
_RIGHT = 992
_THINNEST = 1.2


@dataclass(frozen=True, kw_only=True)
class TimelineFrame:
    """A sampled frame as the timeline draws it."""

    pts_seconds: float
    """When it is shown."""
    score: float
    """How much it matters to the question, from 0 to 1."""
    is_cone: bool
    """Whether it was encoded finely."""


def draw_timeline(
    frames: Sequence[TimelineFrame],
    duration: float,
    evidence: Sequence[Interval] = (),
) -> str:
    """Draw scores over time: Cones as bars, Rods as ticks below, evidence as bands.

    Args:
        frames: Sampled frames in time order; each lasts until the next.
        duration: Length of the video in seconds.
        evidence: Half-open intervals in seconds to shade.

    Returns:
        One ``<svg>`` element.
    """
    if not frames:
        raise ValueError("frames must hold at least one frame, got none")
    axis = _Axis(max(duration, frames[-1].pts_seconds, 1e-3))
    ends = [*(frame.pts_seconds for frame in frames[1:]), axis.duration]
    return render(
        "timeline.svg",
        width=_WIDTH,
        height=_HEIGHT,
        top=_TOP,
        base=_BASE,
        rods_base=_RODS,
        axis=_AXIS,
        left=_LEFT,
        right=_RIGHT,
        num_frames=len(frames),
        bands=[_band(axis, start, end) for start, end in evidence],
        area=_area(axis, frames, ends),
        cones=[
            _cone(axis, frame, end)
            for frame, end in zip(frames, ends, strict=True)
            if frame.is_cone
        ],
        rods=_rods(axis, frames),
        rod_width=1.6 if len(frames) <= 400 else 0.8,
        ticks=[
            (f"{axis.x(tick):.1f}", "middle" if tick else "start", axis.time(tick))
            for tick in choose_ticks(axis.duration)
        ],
    )


@dataclass(frozen=True)
class _Axis:
    duration: float

    def x(self, seconds: float) -> float:
        share = min(max(seconds / self.duration, 0), 1)
        return _LEFT + (_RIGHT - _LEFT) * share

    def time(self, seconds: float) -> str:
        return format_time(seconds, with_tenths=self.duration < 60)


def _y(score: float) -> float:
    return _BASE - (_BASE - _TOP) * min(max(score, 0), 1)


def _band(axis: _Axis, start: float, end: float) -> tuple[str, ...]:
    width = max(axis.x(end) - axis.x(start), _THINNEST)
    return f"{axis.x(start):.1f}", f"{width:.1f}", axis.time(start), axis.time(end)


def _area(axis: _Axis, frames: Sequence[TimelineFrame], ends: Sequence[float]) -> str:
    """Draw the scores as steps."""
    steps = "".join(
        f"L{axis.x(frame.pts_seconds):.1f} {_y(frame.score):.1f}H{axis.x(end):.1f}"
        for frame, end in zip(frames, ends, strict=True)
    )
    first, last = axis.x(frames[0].pts_seconds), axis.x(ends[-1])
    return f"M{first:.1f} {_BASE}{steps}L{last:.1f} {_BASE}Z"


def _cone(axis: _Axis, frame: TimelineFrame, end: float) -> tuple[str, ...]:
    x = axis.x(frame.pts_seconds)
    width = max(min(axis.x(end) - x - 0.6, 10.0), _THINNEST)
    top = min(_y(frame.score), _BASE - 4)
    sides = f"{x:.1f}", f"{top:.1f}", f"{width:.1f}", f"{_BASE - top:.1f}"
    return *sides, axis.time(frame.pts_seconds), f"{frame.score:.2f}"


def _rods(axis: _Axis, frames: Sequence[TimelineFrame]) -> str:
    """Draw all Rods as one path, so that hours of video stay a small page."""
    return "".join(
        f"M{axis.x(frame.pts_seconds):.1f} {_BASE + 6}V{_RODS}"
        for frame in frames
        if not frame.is_cone
    )
