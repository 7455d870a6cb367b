"""What rules that choose frames by their scores have in common.

Letters: T frames, K frames to choose.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def checked_scores(scores: NDArray[np.floating], num_keep: int) -> NDArray[np.float64]:
    """Refuse scores or a count that no rule can work with.

    Args:
        scores: One a frame, ``[T]``.
        num_keep: Frames to choose, ``K``.

    Returns:
        The scores in double precision, scaled to ``[0, 1]``; zeros where all are equal.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1:
        raise ValueError(
            f"scores must have shape [T], one a frame, got {list(values.shape)}"
        )
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).argmax())
        raise ValueError(
            f"scores must be finite, got {values[bad]} for frame {bad}; check what "
            "scored the frames"
        )
    if num_keep < 1:
        raise ValueError(f"num_keep must be at least 1, got {num_keep}")
    if not values.size:
        return values
    spread = np.ptp(values)
    return (values - values.min()) / (spread if spread > 0 else 1.0)


def best_first(scores: NDArray[np.float64]) -> Indices:
    """Order frames by falling score, ``[T]``; of equal ones the earlier goes first."""
    return np.argsort(-scores, kind="stable")


def top_up(
    chosen: Iterable[int], scores: NDArray[np.float64], num_keep: int
) -> Indices:
    """Add the best-scored frames that are not chosen yet until there are enough.

    Args:
        chosen: At most ``K`` different frames; repetitions count once.
        scores: One a frame, ``[T]``.
        num_keep: Frames to choose, ``K``, at most ``T``.

    Returns:
        Frames in order of time, none twice, ``[K]``.
    """
    taken = np.zeros(len(scores), bool)
    taken[list(chosen)] = True
    order = best_first(scores)
    missing = num_keep - int(taken.sum())
    taken[order[~taken[order]][:missing]] = True
    return np.flatnonzero(taken)
