"""The scores of a video over time, as a drawing inside an HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dynfocus.report.clock import choose_ticks, format_time

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
    starts = [frame.pts_seconds for frame in frames]
    ends = [*starts[1:], axis.duration]
    parts = [_bands(axis, evidence), _area(axis, frames, ends)]
    parts += [
        _cone(axis, frame, end)
        for frame, end in zip(frames, ends, strict=True)
        if frame.is_cone
    ]
    parts += [_rods(axis, frames), _ruler(axis)]
    label = f"scores of {len(frames)} frames, {sum(f.is_cone for f in frames)} of them Cones"
    return (
        f'<svg class=timeline viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg>'
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


def _bands(axis: _Axis, evidence: Sequence[Interval]) -> str:
    return "".join(
        f'<rect class="evidence" x="{axis.x(start):.1f}" y="{_TOP - 6}" '
        f'width="{max(axis.x(end) - axis.x(start), _THINNEST):.1f}" '
        f'height="{_RODS + 6 - _TOP}" fill="var(--evidence)"><title>evidence '
        f"{axis.time(start)} to {axis.time(end)}</title></rect>"
        for start, end in evidence
    )


def _area(axis: _Axis, frames: Sequence[TimelineFrame], ends: Sequence[float]) -> str:
    """Draw the scores as steps."""
    steps = "".join(
        f"L{axis.x(frame.pts_seconds):.1f} {_y(frame.score):.1f}H{axis.x(end):.1f}"
        for frame, end in zip(frames, ends, strict=True)
    )
    first, last = axis.x(frames[0].pts_seconds), axis.x(ends[-1])
    return (
        f'<path d="M{first:.1f} {_BASE}{steps}L{last:.1f} {_BASE}Z" '
        'fill="var(--score)" fill-opacity=".13" stroke="var(--score)" '
        'stroke-width="1"/>'
    )


def _cone(axis: _Axis, frame: TimelineFrame, end: float) -> str:
    x = axis.x(frame.pts_seconds)
    width = max(min(axis.x(end) - x - 0.6, 10.0), _THINNEST)
    top = min(_y(frame.score), _BASE - 4)
    return (
        f'<rect class="cone-mark" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" '
        f'height="{_BASE - top:.1f}" fill="var(--cone)"><title>Cone at '
        f"{axis.time(frame.pts_seconds)}, score {frame.score:.2f}</title></rect>"
    )


def _rods(axis: _Axis, frames: Sequence[TimelineFrame]) -> str:
    """Draw all Rods as one path, so that hours of video stay a small page."""
    strokes = "".join(
        f"M{axis.x(frame.pts_seconds):.1f} {_BASE + 6}V{_RODS}"
        for frame in frames
        if not frame.is_cone
    )
    width = 1.6 if len(frames) <= 400 else 0.8
    return f'<path class="rod-marks" d="{strokes}" stroke="var(--rod)" stroke-width="{width}"/>'


def _ruler(axis: _Axis) -> str:
    labels = []
    for seconds in choose_ticks(axis.duration):
        x = axis.x(seconds)
        anchor = "start" if seconds == 0 else "middle"
        labels.append(
            f'<path d="M{x:.1f} {_AXIS - 8}v6" stroke="var(--faint)"/>'
            f'<text x="{x:.1f}" y="{_AXIS + 12}" text-anchor="{anchor}" '
            f'font-size="13" fill="var(--faint)">{axis.time(seconds)}</text>'
        )
    line = f'<path d="M{_LEFT} {_BASE}H{_RIGHT}" stroke="var(--line)"/>'
    return line + "".join(labels)
