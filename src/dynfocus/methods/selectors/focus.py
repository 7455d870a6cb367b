r"""FOCUS: a bandit finds the clips that are worth scoring, without scoring every frame.

Source: "FOCUS: Efficient Keyframe Selection for Long Video Understanding" (2025) and its
published code. A clip of 16 s is an arm; there are 8 at least. Its middle and two random
frames are scored. With the mean and variance of the ``n`` scores of an arm, and ``N``
scores of all arms, its optimistic value is

.. math::
    \mu + \sqrt{\frac{2 \ln N \, \sigma^2}{n}} + \frac{3 \ln N}{n}

The best quarter of the arms, 4 at least, is scored at 1 frame a second, half of these even
and half random. A fifth of ``K`` are the best frames seen; the rest is shared evenly by the
best 4 to 32 arms, drawn by the softmax at 0.06 of scores taken from the nearest scored
frame, at least 1 s apart.

Letters: T frames, K frames to choose.
"""

from __future__ import annotations

import numpy as np

from dynfocus.focus import uniform_indices
from dynfocus.methods.selectors.interface import (
    Floats,
    Indices,
    Selection,
    SelectorInput,
    best_first,
    min_max,
)
from dynfocus.methods.selectors.qframe import draw_without_replacement

ARM_SECONDS, LEAST_ARMS = 16.0, 8
EXTRA = 2
"""Random frames of an arm that are scored beside its middle."""
FINE_SECONDS = 1.0
BEST_SHARE, TOP_SHARE = 0.25, 0.2
"""Share of the arms that are looked at closely, and of the frames that are the best."""
ARM_BOUNDS = (4, 32)
TEMPERATURE = 0.06
_GAP_SECONDS = 1.0
_LEAST_VARIANCE = 1e-6


def choose_focus(given: SelectorInput, num_keep: int) -> Selection:
    """Choose frames of the best clips, scoring few (FOCUS).

    Differs from the paper:
        Random numbers depend on the question and the times alone. Scores are scaled to
        [0, 1] by those seen, because the bounds are made for chances. Where the best arms
        have too few frames that are 1 s apart, closer ones follow, then any.

    Args:
        given: The frames, ``T`` of them.
        num_keep: Frames to choose, ``K``.
    """
    seen = _Seen(given)
    arms = make_arms(given.times)
    for arm in arms:
        rest = np.setdiff1d(
            arm, middle := arm[(len(arm) - 1) // 2 : (len(arm) + 1) // 2]
        )
        extra = seen.random.permutation(rest)[:EXTRA]
        seen.note(np.concatenate([middle[:1], extra]))
    seen.score()
    count = max(ARM_BOUNDS[0], int(np.ceil(len(arms) * BEST_SHARE)))
    for place in seen.order(arms)[:count]:
        seen.note(_closely(arms[place], given.times, seen.random))
    seen.score()
    best = seen.order(arms)[: min(count, ARM_BOUNDS[1])]
    known = seen.known
    num_top = round(TOP_SHARE * min(num_keep, len(known)))
    chosen = known[best_first(seen.scaled[known])][:num_top].tolist()
    shares = np.diff(np.linspace(0, num_keep - num_top, len(best) + 1).round()).astype(
        int
    )
    for place, share in zip(best, shares, strict=True):
        chosen += seen.draw(arms[place], int(share), chosen)
    return _filled(seen, chosen, num_keep)


def make_arms(times: Floats) -> list[Indices]:
    """Part the frames into clips of 16 s, 8 at least where there are as many frames."""
    seconds = float(times[-1] - times[0])
    wanted = max(LEAST_ARMS, int(seconds // ARM_SECONDS))
    return np.array_split(np.arange(len(times)), min(wanted, len(times)))


def upper_bound(scores: Floats, total: int) -> float:
    """Give the optimistic value of an arm.

    Args:
        scores: Those of its frames, ``[n]``.
        total: Scores of all arms, ``N``.
    """
    log, count = np.log(total), len(scores)
    variance = max(float(scores.var()), _LEAST_VARIANCE)
    return float(scores.mean() + np.sqrt(2 * log * variance / count) + 3 * log / count)


class _Seen:
    """The frames that were scored so far."""

    def __init__(self, given: SelectorInput) -> None:
        self.given = given
        self.random = given.generator()
        self.raw = np.full(given.num_frames, np.nan)
        self.scaled = np.full(given.num_frames, np.nan)
        self._noted: list[Indices] = []

    @property
    def known(self) -> Indices:
        """The frames that were scored, increasing."""
        return np.flatnonzero(~np.isnan(self.raw))

    def note(self, frames: Indices) -> None:
        """Remember frames to be scored with others."""
        self._noted.append(frames)

    def score(self) -> None:
        """Score what was noted; scale all scores anew."""
        frames = np.unique(np.concatenate(self._noted)).astype(np.int64)
        frames = frames[np.isnan(self.raw[frames])]
        if len(frames):
            self.raw[frames] = self.given.score(frames)
        self.scaled[self.known] = min_max(self.raw[self.known])
        self._noted = []

    def order(self, arms: list[Indices]) -> list[int]:
        """Order arms, the one of the highest optimistic value first."""
        total = len(self.known)
        own = [self.scaled[arm][~np.isnan(self.scaled[arm])] for arm in arms]
        values = np.array([upper_bound(one, total) for one in own])
        return [int(place) for place in best_first(values)]

    def draw(self, arm: Indices, count: int, chosen: list[int]) -> list[int]:
        """Draw frames of an arm by the scores near them, at least 1 s apart."""
        known = arm[~np.isnan(self.scaled[arm])]
        near = known[np.abs(arm[:, None] - known).argmin(1)]
        order = arm[
            draw_without_replacement(self.scaled[near] / TEMPERATURE, self.random)
        ]
        drawn: list[int] = []
        times, taken = self.given.times, list(chosen)
        for gap in (_GAP_SECONDS, 0.0):
            for frame in order.tolist():
                if len(drawn) == count:
                    return drawn
                apart = np.abs(times[taken] - times[frame])
                if frame not in taken and (apart >= gap).all():
                    drawn.append(frame)
                    taken.append(frame)
        return drawn


def _closely(arm: Indices, times: Floats, random: np.random.Generator) -> Indices:
    """Choose frames of an arm, one a second: half of them even, half random."""
    seconds = times[arm[-1]] - times[arm[0]] + FINE_SECONDS
    count = min(len(arm), max(1, int(seconds / FINE_SECONDS)))
    even = arm[uniform_indices(len(arm), -(-count // 2)).numpy()]
    rest = random.permutation(np.setdiff1d(arm, even))[: count // 2]
    return np.concatenate([even, rest])


def _filled(seen: _Seen, chosen: list[int], num_keep: int) -> Selection:
    """Fill the selection with the best frames seen, then with even ones; order it."""
    order = seen.known[best_first(seen.scaled[seen.known])]
    for frame in [*order.tolist(), *range(seen.given.num_frames)]:
        if len(chosen) == num_keep:
            break
        if frame not in chosen:
            chosen.append(frame)
    worth = np.nan_to_num(seen.scaled[chosen], nan=0.0)
    best = best_first(worth)
    return Selection.of(np.array(chosen)[best], importance=worth[best])
