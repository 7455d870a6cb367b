r"""MDP3: relevant frames that are unlike each other, stretch after stretch.

Source: "MDP3: A Training-free Approach for List-wise Frame Selection in Video-LLMs"
(ICCV 2025) and code by its authors. With unit vectors ``f`` of frames and ``q`` of the
question, and a kernel of several widths

.. math::
    k(x, y) = \frac{1}{5} \sum_{i \in \{-3, -2, 0, 1, 2\}}
        \exp\Big(-\frac{|x - y|^2}{2 \cdot 2^i}\Big), \quad
    r_i = k(f_i, q), \quad L_{ij} = k(f_i, f_j)

a set ``S`` is worth ``(2 / lambda) sum log r_i + log det L_S``. Frames are chosen in
stretches of ``m``, each given the last frame chosen before it: for every number of frames
so far a greedy pass tells what one, two or more of the stretch would add, and dynamic
programming finds the best numbers that add up to ``K``.

Letters: T frames, K frames to choose, m frames of a stretch, C numbers of frames so far.
"""

from __future__ import annotations

import numpy as np
import torch

from dynfocus.methods.determinants import JITTER, grow_sets
from dynfocus.methods.selectors.interface import (
    Floats,
    Indices,
    Selection,
    SelectorInput,
    min_max,
    ranked,
)

TRADE_OFF = 0.2
"""``lambda``: the less, the more relevance counts beside difference."""
_WIDTHS = 2.0 ** np.array([-3, -2, 0, 1, 2])
_STRETCH = (32, 128)
"""Frames of a stretch, for up to 32 frames to choose and for more."""
_TINY = 1e-12


def choose_mdp3(given: SelectorInput, num_keep: int) -> Selection:
    """Choose relevant frames unlike each other (MDP3).

    Differs from the paper:
        All frames are candidates, not 128. What the frame before a stretch is worth
        itself is not counted again in that stretch: as published it is, which makes the
        number of stretches that are used depend on the scale of the kernel. Scores that
        are no cosines are scaled to [0, 1] first.

    Args:
        given: The frames, ``T`` of them.
        num_keep: Frames to choose, ``K``.
    """
    scores = given.score()
    vectors = given.directions()
    cosines = scores if np.abs(scores).max() <= 1 else min_max(scores)
    worth = (2 / TRADE_OFF) * np.log(kernel(cosines) + _TINY)
    chosen = best_sequence(vectors, worth, num_keep)
    return ranked(chosen, scores)


def kernel(cosine: Floats) -> Floats:
    """Turn cosines of unit vectors into the kernel of several widths, above 0."""
    squared = np.maximum(2 - 2 * cosine, 0)
    mean: Floats = np.exp(-squared[..., None] / (2 * _WIDTHS)).mean(-1)
    return mean


def best_sequence(
    vectors: Floats, worth: Floats, num_keep: int, *, stretch: int | None = None
) -> Indices:
    """Choose ``K`` frames, stretch after stretch.

    Args:
        vectors: Unit vectors of the frames, ``[T, D]``.
        worth: What each frame is worth for the question, ``[T]``.
        num_keep: Frames to choose, ``K``, at most ``T``.
        stretch: Frames of a stretch, ``m``.

    Returns:
        Increasing frames, ``[K]``.
    """
    size = stretch or _STRETCH[num_keep > _STRETCH[0]]
    best = np.array([0.0])
    traces: list[list[int]] = [[]]
    for start in range(0, len(vectors), size):
        frames = np.arange(start, min(start + size, len(vectors)))
        last = [trace[-1] if trace else -1 for trace in traces]
        gains, picks = _greedy(vectors, worth, frames, last, num_keep)
        count = min(num_keep, len(traces) - 1 + len(frames)) + 1
        merged = np.full(count, -np.inf)
        grown: list[list[int]] = [[] for _ in range(count)]
        for before, trace in enumerate(traces):
            for more in range(min(gains.shape[1], count - before)):
                total = best[before] + gains[before, more]
                if total > merged[before + more]:
                    merged[before + more] = total
                    grown[before + more] = trace + picks[before, :more].tolist()
        best, traces = merged, [sorted(trace) for trace in grown]
    return np.array(traces[num_keep], np.int64)


def _greedy(
    vectors: Floats, worth: Floats, frames: Indices, last: list[int], num_keep: int
) -> tuple[Floats, Indices]:
    """Take frames of a stretch one by one, after each of the numbers of frames so far.

    Returns:
        What none, one, two ... frames add, ``[C, J + 1]``, and these frames, ``[C, J]``.
    """
    rows = vectors[frames]
    before = np.zeros((len(last), len(frames)))
    has_last = np.array(last) >= 0
    if has_last.any():
        near = kernel(vectors[np.array(last)[has_last]] @ rows.T)
        before[has_last] = near / np.sqrt(kernel(np.ones(1)) + JITTER)
    gains, picks = grow_sets(
        torch.from_numpy(kernel(rows @ rows.T)).expand(len(last), -1, -1),
        torch.from_numpy(worth[frames]).expand(len(last), -1),
        min(num_keep, len(frames)),
        torch.from_numpy(before),
    )
    return gains.numpy(), frames[picks.numpy()]
