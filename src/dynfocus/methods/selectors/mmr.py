r"""Maximal marginal relevance: relevant frames unlike those chosen before.

Source: Carbonell and Goldstein, "The Use of MMR" (SIGIR 1998). Frames are chosen one by
one, each the one of the largest

.. math::
    \tfrac12 \cos(q, f_i) - \tfrac12 \max_{j \text{ chosen}} \cos(f_i, f_j)

With equal weights, as here, it is what SpecTemp (CVPR 2026) rewards its draft model for.

Letters: T frames, K frames to choose.
"""

from __future__ import annotations

import numpy as np

from dynfocus.methods.selectors.interface import (
    Floats,
    Indices,
    Selection,
    SelectorInput,
    min_max,
)


def choose_mmr(given: SelectorInput, num_keep: int) -> Selection:
    """Choose relevant frames unlike each other (MMR).

    Differs from its source:
        Scores and cosines are of different spread, so both are scaled to [0, 1] over the
        video first: as they are, difference alone would decide with CLIP.

    Args:
        given: The frames, ``T`` of them.
        num_keep: Frames to choose, ``K``.

    Returns:
        The frames in the order in which they were chosen.
    """
    scores = given.score()
    fits = min_max(scores)
    chosen = greedy_mmr(fits, given.directions(), num_keep)
    return Selection.of(chosen, importance=fits[chosen])


def greedy_mmr(
    fits: Floats, vectors: Floats, num_keep: int, *, weight: float = 0.5
) -> Indices:
    """Choose frames one by one by maximal marginal relevance.

    Args:
        fits: Relevance of each frame, from 0 to 1, ``[T]``.
        vectors: Unit vectors, ``[T, D]``; their cosines are scaled from 0 to 1 too.
        num_keep: Frames to choose, ``K``, at most ``T``.
        weight: That of relevance; the rest is that of difference.
    """
    chosen = [int(fits.argmax())]
    likest = np.zeros(len(fits))
    while len(chosen) < num_keep:
        like = (1 + vectors @ vectors[chosen[-1]]) / 2
        likest = np.maximum(likest, like)
        worth = weight * fits - (1 - weight) * likest
        worth[chosen] = -np.inf
        chosen.append(int(worth.argmax()))
    return np.array(chosen, np.int64)
