"""The plain rules: even frames, the best-scored frames, all frames.

Letters: T frames to choose from, K frames to choose.
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
    checked_scores,
    min_max,
    spread,
)


def choose_uniform(given: SelectorInput, num_keep: int) -> Selection:
    """Choose the middles of equal stretches, the best-scored first where there is a scorer.

    Without one the order is such that the first few are always spread over time.
    """
    return spread(given, uniform_indices(given.num_frames, num_keep).numpy())


def choose_ranked(scores: Floats, num_keep: int) -> Indices:
    """Choose the best-scored frames.

    Args:
        scores: Similarity of each frame to the question, ``[T]``.
        num_keep: Frames to choose, ``K``; all if there are no more.

    Returns:
        Frames in order of time, ``[min(K, T)]``.
    """
    return np.sort(best_first(checked_scores(scores, num_keep))[:num_keep])


def choose_all(given: SelectorInput, num_keep: int) -> Selection:
    """Choose every frame, the best-scored first where there is a scorer."""
    del num_keep
    if given.compare is None:
        return Selection.of(np.arange(given.num_frames))
    order = best_first(scores := given.score())
    return Selection.of(order, importance=min_max(scores)[order])
