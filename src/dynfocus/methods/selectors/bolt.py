r"""BOLT: frames by inverse transform sampling of their relevance, without training.

Source: "BOLT: Boost Large Vision-Language Model Without Training for Long-form Video
Understanding" (CVPR 2025) and its published code. With the raw scores ``x``

.. math::
    s = \left(\frac{x - \min x}{\max x - \min x}\right)^p, \qquad
    F_j = \frac{\sum_{i \le j} s_i}{\sum_i s_i}, \qquad
    k_i = \min \{ j : F_j \ge u_i \}

and ``u`` evenly from ``1 / K`` to ``1 - 1 / K``: many frames where scores are high, some
everywhere else.

Letters: T frames, K frames to choose.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dynfocus.methods.selectors.interface import (
    Indices,
    checked_scores,
    min_max,
    top_up,
)

DEFAULT_POWER = 3.0
"""The paper's for Video-MME and MLVU; 2.5 for LongVideoBench."""
_LEAST_PROBES = 3


def choose_bolt(
    scores: NDArray[np.floating], num_keep: int, *, power: float = DEFAULT_POWER
) -> Indices:
    """Choose frames by inverse transform sampling (BOLT).

    Args:
        scores: Similarity of each frame to the question, ``[T]``; ``x`` above. Their
            scale and origin make no difference.
        num_keep: Frames to choose, ``K``; all if there are no more.
        power: How much high scores are preferred, ``p``; 1 as they are.

    Returns:
        Frames in order of time, none twice, ``[min(K, T)]``. The same every time.

    Differs from the paper:
        A frame that several ``u`` hit is taken once, and the best-scored of all others
        take the places that are left, so that the budget is used. For ``K`` of 1 and 2,
        where the published ``u`` are past the end or the same, ``u`` are the middles
        ``(i + 0.5) / K``. Equal scores, which are 0 / 0 there, weigh the same.
    """
    if not power > 0:
        raise ValueError(
            f"power must be above 0, got {power}; 1 leaves the scores as they are"
        )
    scaled = min_max(checked_scores(scores, num_keep), equal=0.0)
    num_frames = len(scaled)
    if num_frames <= num_keep:
        return np.arange(num_frames)
    weights = scaled**power if scaled.any() else np.ones(num_frames)
    reached = np.cumsum(weights / weights.sum())
    hits = np.searchsorted(reached, _probes(num_keep), side="left")
    return top_up(hits.clip(max=num_frames - 1), scaled, num_keep)


def _probes(count: int) -> NDArray[np.float64]:
    if count < _LEAST_PROBES:
        return (np.arange(count) + 0.5) / count
    return np.linspace(1 / count, 1 - 1 / count, count)
