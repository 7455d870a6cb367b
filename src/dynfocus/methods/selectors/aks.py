"""AKS: keyframes by splitting a video until relevance has clear peaks, without training.

Source: "Adaptive Keyframe Sampling for Long Video Understanding" (CVPR 2025) and its
published code. Scores are scaled to [0, 1] once. Starting from the whole video, a segment
at depth ``d`` with scores ``s`` is

- closed if ``mean(top K of s) - mean(s) > t1`` and ``std(s) > t2``: it has clear peaks;
- otherwise split in the middle as long as ``d < D``, and closed at ``d = D``.

A closed segment gives its ``floor(K / 2^d)`` best frames. Never to split takes the best
frames of all, always to split covers time evenly.

Letters: T frames, K frames to choose.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dynfocus.methods.selectors.interface import (
    Indices,
    best_first,
    checked_scores,
    min_max,
    top_up,
)

DEFAULT_GAP = 0.8
DEFAULT_DEVIATION = -100.0
DEFAULT_DEPTH = 5


def choose_aks(
    scores: NDArray[np.floating],
    num_keep: int,
    *,
    gap: float = DEFAULT_GAP,
    deviation: float = DEFAULT_DEVIATION,
    depth: int = DEFAULT_DEPTH,
) -> Indices:
    """Choose frames by splitting and judging (AKS).

    Args:
        scores: Similarity of each frame to the question, ``[T]``. Their scale and origin
            make no difference.
        num_keep: Frames to choose, ``K``; all if there are no more.
        gap: How far the best frames must stand out for a segment to be closed, ``t1``.
        deviation: The least deviation of a segment that is closed, ``t2``; by default it
            has no say.
        depth: At most so many splits one within another, ``D``.

    Returns:
        Frames in order of time, none twice, ``[min(K, T)]``.

    Differs from the paper:
        Segments are split ``floor(log2 K)`` times at most, because deeper ones would give
        no frame at all (with the published depth of 5, 8 frames become none). What
        rounding leaves of the budget goes to the best-scored of all other frames. Equal
        scores, which are 0 / 0 there, all count as 0, so time is covered evenly.
    """
    if depth < 0:
        raise ValueError(f"depth must be 0 or more, got {depth}")
    scaled = min_max(checked_scores(scores, num_keep), equal=0.0)
    if len(scaled) <= num_keep:
        return np.arange(len(scaled))
    depth = min(depth, num_keep.bit_length() - 1)  # floor(log2 K)
    chosen: list[int] = []
    waiting = [(0, len(scaled), 0)]
    while waiting:
        start, end, level = waiting.pop()
        segment = scaled[start:end]
        order = best_first(segment)
        stands_out = segment[order[:num_keep]].mean() - segment.mean() > gap
        if level == depth or (stands_out and segment.std() > deviation):
            chosen.extend(start + order[: num_keep >> level])
        else:
            middle = start + (end - start) // 2
            waiting += [(start, middle, level + 1), (middle, end, level + 1)]
    return top_up(chosen, scaled, num_keep)
