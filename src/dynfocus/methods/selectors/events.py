r"""Events first: a frame of every stretch that looks unlike the one before.

Between two neighbouring frames whose features are ``d`` apart a bound of events lies
with the probability

.. math::
    p = \sigma(7.2\, (d - 0.9))

and the chosen frames ``t_1 < ... < t_K`` are those of the largest

.. math::
    \sum_k w_k \Big(1 - \prod_{i = t_{k-1}}^{t_k - 1} (1 - p_i)\Big) + h_k - b_k

The first part is the expected number of events that have a frame, each weighing as much
as its frame fits the question. ``h`` is how well time is covered: of an event with one
frame its middle is best, of one with several the middles of equal parts. ``b`` is what a
frame costs that is black, blurred or like the one chosen before it. Dynamic programming
finds the largest sum; nothing is drawn at random.

The slope and the middle of ``p`` were fitted to reels whose bounds are known
(``benchmarks/coverage.py``, seeds 1100 to 1219; the figures are of other seeds).

Letters: T frames to choose from, K frames to choose, S candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dynfocus.methods.selectors.interface import (
    Floats,
    Indices,
    Selection,
    SelectorInput,
    min_max,
)
from dynfocus.methods.selectors.prototypes import contrast_stretch

_SLOPE, _MIDDLE = 7.2, 0.9
_SUREST = 0.95
"""Chance of the clearest bound: what looks like one may lie within what belongs together."""
_LIKELY = 0.2
"""Chance of a bound from which on it parts two events, each with a middle."""
_CONTRAST = 1.2
"""Distance that frames far apart are stretched to, in a video of low contrast."""
_TIME = 0.25
"""Worth of time that is covered, beside an event that has a frame."""
_UNFIT = 1.25
"""Cost of a frame that cannot be seen: more than an event is worth."""
_REPEATED = 0.1
"""Cost of a frame that looks like the one before it."""
_ALIKE = 0.1
"""Distance of frames that look alike."""
_LEAST_RELEVANCE = 0.05
"""Weight of the least relevant frame, so that no part of a video is out of reach."""
_TINY = 1e-9
_MOST_AT_ONCE = 256
_MOST_CANDIDATES = 1024


def choose_events(given: SelectorInput, num_keep: int) -> Selection:
    """Choose a frame of every event before a second frame of one.

    A question weighs events by the relevance of their frames, if there is a scorer.

    Args:
        given: The frames, ``T`` of them.
        num_keep: Frames to choose, ``K``.

    Returns:
        The frames, ordered so that the first few of them cover most.
    """
    worth = _Worth.of(given, num_keep)
    chosen = _choose(worth, np.arange(given.num_frames), num_keep)
    order, gain = _order(worth, chosen)
    return Selection.of(order, importance=gain)


def cover_events(given: SelectorInput, num_keep: int) -> Indices:
    """Choose the frames of `choose_events`, in order of time, ``[K]``."""
    worth = _Worth.of(given, num_keep)
    return _choose(worth, np.arange(given.num_frames), num_keep)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Worth:
    """What frames are worth alone and after one another."""

    points: Floats
    """Features, ``[T, C]``; distances are those of the formula."""
    change: Floats
    """Sum of ``-log(1 - p)`` up to each frame, ``[T]``."""
    event: Indices
    """Number of the stretch between likely bounds that each frame lies in, ``[T]``."""
    weight: Floats
    """Relevance, from 0.05 to 1, ``[T]``."""
    clock: Floats
    """Time of each frame, in which relevant stretches are longer, ``[T]``; the video has
    a length of ``K``."""
    head: Floats
    """Worth of the time from the start of its event to each frame, ``[T]``."""
    tail: Floats
    """The same from each frame to the end of its event."""
    cost: Floats
    """Cost of a frame that is not fit to be shown, ``[T]``."""

    @classmethod
    def of(cls, given: SelectorInput, num_keep: int) -> _Worth:
        features = given.features.double().cpu()
        stretch = contrast_stretch(features, _CONTRAST)
        points = features.numpy() * (stretch / np.sqrt(features.shape[1]))
        apart = np.linalg.norm(np.diff(points, axis=0), axis=1)
        bound = _SUREST / (1 + np.exp(-_SLOPE * (apart - _MIDDLE)))  # p: [T - 1]
        weight = np.ones(given.num_frames)
        if given.compare is not None:
            fits = min_max(given.score())
            weight = _LEAST_RELEVANCE + (1 - _LEAST_RELEVANCE) * fits
        edges = _edges(given.times)
        lengths = np.cumsum([0, *(weight * np.diff(edges))])
        lengths *= num_keep / lengths[-1]
        clock = (lengths[:-1] + lengths[1:]) / 2
        is_start = np.concatenate([[True], bound > _LIKELY])
        event = np.cumsum(is_start) - 1
        bounds = np.append(lengths[:-1][is_start], num_keep)
        quality = np.ones(len(clock)) if given.quality is None else given.quality
        return cls(
            points=points,
            change=np.cumsum([0, *-np.log1p(-bound)]),
            event=event,
            weight=weight,
            clock=clock,
            head=_covered(2 * (clock - bounds[event])) / 2,
            tail=_covered(2 * (bounds[event + 1] - clock)) / 2,
            cost=_UNFIT * (1 - quality),
        )

    def alone(self, frames: Indices) -> Floats:
        """Give what each frame is worth, whatever else is chosen, ``[S]``."""
        return self.head[frames] + self.tail[frames] - self.cost[frames]

    def after(self, earlier: Indices, later: Indices) -> Floats:
        """Give what later frames add after earlier ones, ``[S, S']``."""
        grown = np.maximum(self.change[later] - self.change[earlier][:, None], 0)
        gap = np.maximum(self.clock[later] - self.clock[earlier][:, None], 0)
        ends = self.tail[earlier][:, None] + self.head[later]
        is_same = self.event[earlier][:, None] == self.event[later]
        one, other = self.points[earlier], self.points[later]
        squared = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
        alike = np.exp(-np.maximum(squared, 0) / _ALIKE**2)
        worth: Floats = (
            self.weight[later] * -np.expm1(-grown)
            + np.where(is_same, _covered(gap) - ends, 0)
            - _REPEATED * alike
        )
        return worth


def _edges(times: Floats) -> Floats:
    """Give the bounds of the time that each frame stands for, ``[T + 1]``."""
    middles = (times[1:] + times[:-1]) / 2
    if not len(middles):
        return np.array([times[0] - 0.5, times[0] + 0.5])
    first, last = 2 * times[0] - middles[0], 2 * times[-1] - middles[-1]
    return np.concatenate([[first], middles, [last]])


def _covered(gap: Floats) -> Floats:
    """Give the worth of a gap between two frames, as a part of the mean gap."""
    return _TIME * (1 - np.exp(-gap))


def _choose(worth: _Worth, frames: Indices, num_keep: int) -> Indices:
    """Choose among frames that follow each other, increasing, ``[K]``.

    More than 256 are chosen in two halves of the video.
    """
    if num_keep > _MOST_AT_ONCE:
        half, keep = len(frames) // 2, num_keep // 2
        parts = (frames[:half], keep), (frames[half:], num_keep - keep)
        return np.concatenate([_choose(worth, *part) for part in parts])
    frames = _candidates(worth, frames)
    alone = worth.alone(frames)
    after = worth.after(frames, frames)
    after[np.tril_indices(len(frames))] = -np.inf
    best, before = alone + worth.weight[frames], []
    for _ in range(1, num_keep):
        together = best[:, None] + after
        previous = together.argmax(0)
        best = together[previous, np.arange(len(frames))] + alone
        before.append(previous)
    chosen = [int(best.argmax())]
    for previous in reversed(before):
        chosen.append(int(previous[chosen[-1]]))
    return frames[chosen[::-1]]


def _candidates(worth: _Worth, frames: Indices) -> Indices:
    """Of too many frames take the fittest of each of 1024 equal parts."""
    if len(frames) <= _MOST_CANDIDATES:
        return frames
    parts = np.array_split(frames, _MOST_CANDIDATES)
    return np.array([part[worth.alone(part).argmax()] for part in parts])


def _order(worth: _Worth, chosen: Indices) -> tuple[Indices, Floats]:
    """Order frames, increasing ``[K]``, so that what is dropped last adds most.

    Returns:
        The frames, and what each adds to those before it, from 0 to 1.
    """
    alone, after = worth.alone(chosen), worth.after(chosen, chosen)
    left, dropped, losses = list(range(len(chosen))), [], []
    while left:
        to_next = np.array([after[pair] for pair in pairwise(left)])
        over = np.array([after[pair] for pair in zip(left, left[2:], strict=False)])
        loss = alone[left] + np.append(worth.weight[chosen[left[0]]], to_next)
        loss[:-1] += to_next
        loss[1:-1] -= over
        if len(left) > 1:
            loss[0] -= worth.weight[chosen[left[1]]]
        least = int(loss.argmin())
        dropped.append(left.pop(least))
        losses.append(float(loss[least]))
    gains = np.minimum.accumulate(np.maximum(losses[::-1], 0))
    return chosen[dropped[::-1]], gains / max(gains[0], _TINY)
