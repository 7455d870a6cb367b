"""T*: a search that scores a few frames at a time, where good ones were found before.

Source: "T*: Re-thinking Temporal Search for Long-Form Video Understanding" (CVPR 2025) and
its published code. Of ``N`` frames ``g`` are scored in a round: first even ones; then ones
drawn by ``(P + g / N)`` among those not seen, of which all below the 75th percentile are
left out. A frame at or above the 75th percentile of its round raises what is within 5 s
to its score over ``|d| + 1``. ``P`` is a smooth curve through the scores, through a sigmoid.
At last ``K`` frames are drawn by their scores.

Letters: T frames, K frames to choose, g frames of a round.
"""

from __future__ import annotations

from collections.abc import Sequence

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

ROUND = 16
"""Frames of a round: a grid of 4 by 4."""
SEEN_SHARE, MOST_SEEN = 0.5, 1000
NEAR_SECONDS = 5.0
_QUANTILE = 0.75
_FLOOR = 1e-6


def choose_tstar(given: SelectorInput, num_keep: int) -> Selection:
    """Search for frames, scoring at most half of them (T*).

    Differs from the paper:
        The similarity to the question, scaled to [0, 1] by the frames seen, stands for
        the confidence of a detector in objects that a language model has named; so
        nothing is ever confirmed, and the search ends when its budget is spent. Straight
        lines stand for the spline. Random numbers depend on the question and the times
        alone. The loop of this name asks a model instead.

    Args:
        given: The frames, ``T`` of them.
        num_keep: Frames to choose, ``K``.
    """
    random = given.generator()
    num_frames = given.num_frames
    most = min(MOST_SEEN, int(num_frames * SEEN_SHARE))
    most = min(num_frames, max(most, num_keep, ROUND))
    raw = np.full(num_frames, np.nan)
    batch = uniform_indices(num_frames, min(ROUND, most)).numpy()
    leading: list[int] = []
    while len(batch):
        raw[batch] = given.score(batch)
        leading += batch[raw[batch] >= np.quantile(raw[batch], _QUANTILE)].tolist()
        confidence = spread_confidence(raw, leading, given.times)
        left = min(ROUND, most - int((~np.isnan(raw)).sum()))
        batch = draw_round(confidence, np.isnan(raw), left, random)
    chosen = random.choice(
        num_frames, num_keep, replace=False, p=confidence / confidence.sum()
    )
    best = best_first(confidence[chosen])
    return Selection.of(chosen[best], importance=confidence[chosen][best])


def spread_confidence(
    raw: Floats, leading: Sequence[int], times: Floats, *, is_scaled: bool = False
) -> Floats:
    """Give the confidence of all frames after a round, ``[T]``, above 0 and at most 1.

    Args:
        raw: Scores of the frames seen, NaN for the others, ``[T]``.
        leading: The frames that were among the best quarter of their round.
        times: Times of all frames in seconds, ``[T]``.
        is_scaled: The scores are confidences already.
    """
    seen = ~np.isnan(raw)
    confidence = np.full(len(raw), _FLOOR)
    known = raw[seen] if is_scaled else min_max(raw[seen])
    confidence[seen] = np.maximum(known, _FLOOR)
    for frame in leading:
        bounds = times[frame] - NEAR_SECONDS, times[frame] + NEAR_SECONDS
        first = int(np.searchsorted(times, bounds[0]))
        last = int(np.searchsorted(times, bounds[1], "right"))
        near = confidence[frame] / (np.abs(times[first:last] - times[frame]) + 1)
        near[seen[first:last]] = 0
        confidence[first:last] = np.maximum(confidence[first:last], near)
    return confidence


def draw_round(
    confidence: Floats, is_new: np.ndarray, count: int, random: np.random.Generator
) -> Indices:
    """Draw the frames of the next round among those not seen.

    Args:
        confidence: That of all frames, ``[T]``.
        is_new: Whether each frame was not seen, ``[T]``.
        count: How many.
        random: What draws.
    """
    if count < 1:
        return np.empty(0, np.int64)
    num_frames = len(confidence)
    known = np.flatnonzero(~is_new)
    curve = np.interp(np.arange(num_frames), known, confidence[known])
    chance = 1 / (
        1 + np.exp(-np.maximum(np.maximum(curve, confidence), 1 / num_frames))
    )
    chance /= chance.sum()
    weight = (chance + count / num_frames) * is_new
    kept = np.where(weight >= np.quantile(weight, _QUANTILE), weight, 0)
    if (kept > 0).sum() < count:
        kept = weight
    return np.asarray(
        random.choice(num_frames, count, replace=False, p=kept / kept.sum()), np.int64
    )
