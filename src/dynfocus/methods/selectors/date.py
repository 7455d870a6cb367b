"""DATE's TASS: the best frames, far apart as long as there are enough of them.

Source: "DATE: Dynamic Absolute Time Enhancement for Long Video Understanding" (2025) and
its published code. Of the frames that score above the mean at most ``4 K`` are candidates,
the best first. With a gap of 20 s the candidates are gone through: one that is at least
the gap away from all frames accepted so far is accepted. The gap is halved and they are
gone through again, until there are ``K``.

Letters: T frames, K frames to choose.
"""

from __future__ import annotations

import numpy as np

from dynfocus.methods.selectors.interface import (
    Floats,
    Indices,
    Selection,
    SelectorInput,
    best_first,
    ranked,
    top_up,
)

FIRST_GAP = 20.0
"""Seconds between frames in the first pass."""
_CANDIDATES = 4
_LEAST_GAP = 1e-3


def choose_date(given: SelectorInput, num_keep: int) -> Selection:
    """Choose the best frames, far apart (TASS of DATE).

    Differs from the paper:
        The question is compared as it is, where DATE lets a language model write a
        caption of what would be seen. Where fewer than ``K`` frames score above the mean,
        the best of the others follow; as published there are fewer frames then.

    Args:
        given: The frames, ``T`` of them.
        num_keep: Frames to choose, ``K``.
    """
    scores = given.score()
    order = best_first(scores)
    order = order[scores[order] > scores.mean()][: _CANDIDATES * num_keep]
    chosen = spaced_best(given.times, order, num_keep)
    return ranked(top_up(chosen, scores, num_keep), scores)


def spaced_best(
    times: Floats, order: Indices, num_keep: int, *, gap: float = FIRST_GAP
) -> list[int]:
    """Accept frames in an order, far apart; then closer, until there are enough.

    Args:
        times: Times of all frames in seconds, ``[T]``.
        order: The candidates, the best first.
        num_keep: Frames to accept, ``K``; all candidates if there are no more.
        gap: Seconds between any two in the first pass, halved in each other.

    Returns:
        The frames in the order in which they were accepted.
    """
    if len(order) <= num_keep:
        return [int(frame) for frame in order]
    accepted: list[int] = []
    nearest = np.full(len(order), np.inf)
    while len(accepted) < num_keep:
        gap = gap if gap > _LEAST_GAP else 0.0
        place = 0
        while len(accepted) < num_keep:
            fitting = np.flatnonzero(nearest[place:] >= gap)
            if not len(fitting):
                break
            place += int(fitting[0])
            accepted.append(int(order[place]))
            nearest = np.minimum(nearest, np.abs(times[order] - times[order[place]]))
            nearest[place] = -np.inf
        gap /= 2
    return accepted
