"""Damaged time stamps: one that leaves the others and comes back is no new clock.

A flipped bit puts one picture hours away, or among others where it does not belong. The
order of the file and the place that it left empty tell when it is shown.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NO_TIME = int(np.iinfo(np.int64).min)
"""Stands for a time that the file does not give."""

Ticks = NDArray[np.int64]

# A clock that jumps by more than this either was damaged or set anew.
_JUMP_SECONDS = 1.0
_JUMP_STEPS = 10
# Packets that may be damaged in a row before the clock counts as a new one.
_LONGEST_RUN = 50
_LONGEST_EDGE = 3
# Where more is out of place, a stream is irregular, not damaged.
_MAX_SUSPECT_RATIO = 0.05
_MOST_SUSPECT = 5
_STEADY_RATIO = 0.9
_MIN_PACKETS = 10
# Part of a step by which a steady stream may be off.
_RHYTHM = 0.1


class MendedTimes(NamedTuple):
    """The times of packets as they were before some were damaged."""

    pts: Ticks
    """When each packet's picture is shown, ``[P]``."""
    dts: Ticks
    """When each packet is decoded, ``[P]``."""
    is_placed: NDArray[np.bool_]
    """Whether it can be told when a picture is shown, ``[P]``."""


def mend_times(pts: Ticks, dts: Ticks, ticks_a_second: float) -> MendedTimes:
    """Give packets the times that they had before some were damaged.

    Args:
        pts: When each packet's picture is shown, in file order, ``[P]``.
        dts: When each packet is decoded, ``[P]``.
        ticks_a_second: Ticks of both clocks.

    Returns:
        The times, the same arrays where nothing is damaged.
    """
    is_placed = np.ones(len(pts), dtype=bool)
    if len(pts) < _MIN_PACKETS or (pts == NO_TIME).any() or (dts == NO_TIME).any():
        return MendedTimes(pts, dts, is_placed)
    dts = _mend_decoding_times(dts, _JUMP_SECONDS * ticks_a_second)
    if (np.diff(dts) > 0).all():
        dts = _keep_rhythm(dts)
        pts = _mend_display_times(pts, dts, is_placed)
    return MendedTimes(pts, dts, is_placed)


def _mend_decoding_times(dts: Ticks, jump: float) -> Ticks:
    """Draw lines through short stretches that leave a growing clock and come back."""
    steps = np.diff(dts)
    if not (steps > 0).any():
        return dts
    step = float(np.median(steps[steps > 0]))
    is_kept = np.ones(len(dts), dtype=bool)
    if (steps <= 0).any():
        is_kept = _growing(dts)
        falls = np.flatnonzero(steps <= 0)  # either side may be the damaged one
        is_kept[falls] = is_kept[falls + 1] = False
    # A packet or two before or after a gap may be the damaged ones.
    gaps = np.flatnonzero(np.abs(steps) > max(jump, _JUMP_STEPS * step)) + 1
    for gap in gaps:
        if gap <= _LONGEST_EDGE:
            is_kept[:gap] = False
        elif gap >= len(dts) - _LONGEST_EDGE:
            is_kept[gap:] = False
    if is_kept.all() or _longest_run(~is_kept) > _LONGEST_RUN:
        return dts
    kept = np.flatnonzero(is_kept)
    mended = np.interp(np.arange(len(dts)), kept, dts[kept])
    first, last = kept[0], kept[-1]
    mended[:first] = dts[first] + step * np.arange(-first, 0)
    mended[last + 1 :] = dts[last] + step * np.arange(1, len(dts) - last)
    return np.round(mended).astype(np.int64)


def _keep_rhythm(dts: Ticks) -> Ticks:
    """Put packets of a steady clock between their neighbours where a bit was flipped."""
    step = float(np.median(np.diff(dts)))
    mended, last = dts.copy(), len(dts) - 1
    for edges in (False, True):  # beside a damaged one, an end looks damaged too
        for i in np.flatnonzero(_breaks_rhythm(mended, step)):
            if (i in (0, last)) == edges:
                around = [mended[i - 1] + step] if i else []
                around += [mended[i + 1] - step] if i < last else []
                place = round(float(np.mean(around)))
                is_steady = np.ptp(around) <= 2 * _RHYTHM * step
                if is_steady and _is_one_bit_away(int(dts[i]), place):
                    mended[i] = place
    return mended


def _growing(ticks: Ticks) -> NDArray[np.bool_]:
    """Mark the longest part of a sequence that always grows."""
    smallest_ends: list[int] = []
    holders: list[int] = []
    before = np.full(len(ticks), -1)
    for i, tick in enumerate(ticks.tolist()):
        place = bisect_left(smallest_ends, tick)
        before[i] = holders[place - 1] if place else -1
        smallest_ends[place : place + 1] = [tick]
        holders[place : place + 1] = [i]
    is_part = np.zeros(len(ticks), dtype=bool)
    i = holders[-1]
    while i >= 0:
        is_part[i] = True
        i = int(before[i])
    return is_part


def _longest_run(flags: NDArray[np.bool_]) -> int:
    """Count the most ``True`` in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _mend_display_times(pts: Ticks, dts: Ticks, is_placed: NDArray[np.bool_]) -> Ticks:
    """Put pictures that are out of place where one is missing, and note failures."""
    offsets = pts - dts
    step = float(np.median(np.diff(np.sort(pts))))
    if step <= 0:
        return pts
    low, high = _usual_range(offsets, step)
    is_far = (offsets < low - step / 2) | (offsets > high + step / 2)
    is_suspect = is_far | _breaks_rhythm(pts, step)
    num_suspect = int(is_suspect.sum())
    if not num_suspect or num_suspect > max(
        _MOST_SUSPECT, _MAX_SUSPECT_RATIO * len(pts)
    ):
        return pts
    mended, others = pts.copy(), pts[~is_suspect]
    free = _free_places(np.sort(others), step)
    for i in np.flatnonzero(is_suspect):
        distance = np.abs(free - pts[i])
        if distance.min() <= step * _RHYTHM:  # beside one that is out of place
            free = np.delete(free, distance.argmin())
            is_suspect[i] = False
    for i in np.flatnonzero(is_suspect):
        is_near = (free >= dts[i] + low - step / 2) & (free <= dts[i] + high + step / 2)
        place = _choose(free[is_near], others)
        if place is not None and (is_far[i] or _is_one_bit_away(int(pts[i]), place)):
            mended[i] = place
            free = free[free != place]
        elif is_far[i]:
            mended[i], is_placed[i] = dts[i] + low, False
    return mended


def _usual_range(offsets: Ticks, step: float) -> tuple[int, int]:
    """Find the least and the largest time from decoding to display that occur often."""
    rounded = np.round(offsets / step).astype(np.int64)
    values, counts = np.unique(rounded, return_counts=True)
    usual = np.isin(rounded, values[counts > max(1, 0.002 * len(offsets))])
    kept = offsets[usual] if usual.any() else offsets
    return int(kept.min()), int(kept.max())


def _breaks_rhythm(pts: Ticks, step: float) -> NDArray[np.bool_]:
    """Mark pictures of a stream of constant rate that have no neighbour a step away."""
    order = np.argsort(pts, kind="stable")
    gaps = np.diff(pts[order])
    is_step = np.abs(gaps - step) <= max(_RHYTHM * step, 1)
    if is_step.mean() < _STEADY_RATIO:
        return np.zeros(len(pts), dtype=bool)
    has_neighbour = np.append(is_step, False) | np.append(False, is_step)
    is_alone = np.zeros(len(pts), dtype=bool)
    is_alone[order] = ~has_neighbour
    return is_alone


def _free_places(shown: Ticks, step: float) -> Ticks:
    """List the times between pictures at which one is missing, and some at each end."""
    beyond = step * np.arange(1, _LONGEST_EDGE + 1)
    places = [*(shown[0] - beyond), *(shown[-1] + beyond)]
    gaps = np.diff(shown)
    for i in np.flatnonzero(gaps > 1.5 * step):
        count = min(round(gaps[i] / step) - 1, _LONGEST_RUN)
        places += [shown[i] + gaps[i] * k / (count + 1) for k in range(1, count + 1)]
    return np.unique(np.round(places)).astype(np.int64)


def _is_one_bit_away(ticks: int, place: int) -> bool:
    """Tell whether a flipped bit leads from a time to a place, but for rounding."""
    distance = abs(ticks - place)
    return any(
        abs(distance - (1 << bit)) <= 2 for bit in range(distance.bit_length() + 1)
    )


def _choose(places: Ticks, shown: Ticks) -> int | None:
    """Choose the place for a picture: one between others before one at an end."""
    before, after = places[places < shown.min()], places[places > shown.max()]
    inner = places[len(before) : len(places) - len(after)]
    for found in (inner, after[:1], before[-1:]):
        if len(found):
            return int(found[0]) if len(found) == 1 else None
    return None
