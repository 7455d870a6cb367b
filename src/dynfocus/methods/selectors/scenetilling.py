r"""SceneTilling: scenes parted where the similarity of neighbours dips deepest.

Source: "VideoLLaMB: Long Streaming Video Understanding with Recurrent Memory Bridges"
(ICCV 2025) and its published code, after TextTiling (Hearst, 1997). With the cosine ``c_i``
of frames ``i`` and ``i + 1``, and the peaks ``l_i`` and ``r_i`` that are reached from ``i``
to either side while ``c`` does not fall,

.. math::
    d_i = l_i + r_i - 2 c_i, \qquad
    \text{a scene ends after } i \text{ if } d_i > \operatorname{mean} d + \tfrac12 \operatorname{std} d

at the 15 deepest at most.

Letters: T frames, K frames to choose.
"""

from __future__ import annotations

import numpy as np

from dynfocus.focus import share_budget, uniform_indices
from dynfocus.methods.selectors.interface import (
    Floats,
    Indices,
    Selection,
    SelectorInput,
    best_first,
    spread,
)

THRESHOLD = 0.5
"""Deviations above the mean depth from which on a scene ends."""
MOST_CUTS = 15
LEAST_DEPTH = 0.02
"""Depth below which neighbours differ by noise alone."""


def choose_scenetilling(given: SelectorInput, num_keep: int) -> Selection:
    """Choose as many frames of every scene, evenly; the question has no say.

    Differs from the paper:
        The threshold is relative, so that a video that stands still has 7 to 10 cuts as
        published: a depth of at least 0.02 is asked for here. There are at most as many
        scenes as frames to choose; what a short scene leaves goes to the others.

    Args:
        given: The frames, ``T`` of them.
        num_keep: Frames to choose, ``K``.
    """
    vectors = given.directions()
    ends = scene_ends(vectors, most_cuts=min(MOST_CUTS, num_keep - 1))
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = (ends - starts + 1).tolist()
    shares = share_budget(num_keep, lengths, [1] * len(lengths), "num_keep")
    chosen = [
        start + uniform_indices(length, share).numpy()
        for start, length, share in zip(starts, lengths, shares, strict=True)
    ]
    return spread(given, np.concatenate(chosen))


def scene_ends(
    vectors: Floats,
    *,
    threshold: float = THRESHOLD,
    most_cuts: int = MOST_CUTS,
    least_depth: float = LEAST_DEPTH,
) -> Indices:
    """Find the last frame of every scene; that of the last is the last of all.

    Args:
        vectors: Unit vectors of the frames, ``[T, D]``.
        threshold: Deviations above the mean.
        most_cuts: At most so many scenes end before the last frame.
        least_depth: The least depth of a cut.
    """
    last = len(vectors) - 1
    depth = depths(np.einsum("td,td->t", vectors[:-1], vectors[1:]))
    if len(depth) < 2:  # a deviation takes two
        return np.array([last], np.int64)
    least = max(depth.mean() + threshold * depth.std(ddof=1), least_depth)
    deepest = best_first(depth)
    cuts = deepest[depth[deepest] > least][:most_cuts]
    return np.append(np.sort(cuts), last)


def depths(similar: Floats) -> Floats:
    """Tell how deep each similarity lies between the peaks at its sides, ``[T - 1]``."""
    left, right = similar.copy(), similar.copy()
    for place in range(1, len(similar)):
        if similar[place - 1] >= similar[place]:
            left[place] = left[place - 1]
    for place in range(len(similar) - 2, -1, -1):
        if similar[place + 1] >= similar[place]:
            right[place] = right[place + 1]
    return left + right - 2 * similar
