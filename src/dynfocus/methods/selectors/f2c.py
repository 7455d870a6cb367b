r"""F2C: short clips around the best moments, the longer a clip the smaller its frames.

Source: "From Frames to Clips: Training-free Adaptive Key Clip Selection for Long-Form
Video Understanding" (2025, second version) and a port that quotes its equations.

1. Between any two local minima of the scores the best frame is an anchor. Of more than
   ``K`` anchors, K-means over their times leaves the best of each cluster; ``A`` stay.
2. Around an anchor, the clip of the ``l`` frames that make

   .. math::
       J(l) = \operatorname{mean} r - \lambda_r \operatorname{mean}_{i<j} \cos(f_i, f_j)
           + \lambda_l \frac{l}{l_{max}}, \qquad l_{max} = s_{max}^2 \frac{K}{A}

   largest is taken, the shortest of equal ones.
3. Its frames are ``s = sqrt(A l / K)`` times smaller, between 1 and ``s_max``, so that each
   clip has the area of ``K / A`` whole frames. A frame of two clips has the larger size.

Letters: T frames, K frames to choose, as the area of so many large ones, A anchors.
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
)

REDUNDANCY, LENGTH = 0.5, 0.05
"""``lambda_r`` and ``lambda_l``."""
MOST_SHRUNK = 2.0
"""``s_max``."""
_ROUNDS = 50


def choose_f2c(given: SelectorInput, num_keep: int) -> Selection:
    """Choose clips around the best moments, with a size of frames for each (F2C).

    Differs from the paper:
        The length limit follows from the anchors there are, which may be fewer than
        ``K``, and is rounded down, so that the budget holds. What short clips leave of it
        goes to the best of all other frames.

    Args:
        given: The frames, ``T`` of them.
        num_keep: Their area in large frames, ``K``.
    """
    scores, vectors = given.score(), given.directions()
    anchors = find_anchors(scores, num_keep)
    side = np.zeros(given.num_frames)
    for anchor in anchors:
        start, length = clip_around(
            int(anchor), scores, vectors, num_keep, len(anchors)
        )
        shrunk = np.clip(np.sqrt(len(anchors) * length / num_keep), 1, MOST_SHRUNK)
        clip = slice(start, start + length)
        side[clip] = np.maximum(side[clip], 1 / shrunk)
    left = int(num_keep - (side**2).sum() + 1e-9)
    order = best_first(scores)
    side[order[side[order] == 0][:left]] = 1.0
    chosen = np.flatnonzero(side)
    return ranked(chosen, scores, scale=side[chosen])


def find_anchors(scores: Floats, most: int) -> Indices:
    """Find the best frame of every basin; of too many the best of clusters in time.

    Args:
        scores: Of the frames, ``[T]``.
        most: At most so many.

    Returns:
        Increasing frames, ``[A]``.
    """
    around = np.pad(scores, 1, constant_values=np.inf)
    is_least = (scores <= around[:-2]) & (scores <= around[2:])
    borders = np.unique([0, *np.flatnonzero(is_least), len(scores) - 1])
    peaks = [
        start + int(scores[start : end + 1].argmax())
        for start, end in zip(borders[:-1], borders[1:], strict=True)
    ]
    anchors = np.unique(peaks) if peaks else np.array([0])
    if len(anchors) <= most:
        return anchors
    label = cluster_times(anchors.astype(np.float64), most)
    kept = [anchors[label == one] for one in np.unique(label)]
    return np.sort([int(part[scores[part].argmax()]) for part in kept])


def cluster_times(times: Floats, count: int) -> Indices:
    """Cluster increasing times by K-means, from even ones on; a label each, ``[N]``."""
    centers = times[np.linspace(0, len(times) - 1, count).round().astype(int)]
    label = np.zeros(len(times), np.int64)
    for _ in range(_ROUNDS):
        label = np.searchsorted((centers[1:] + centers[:-1]) / 2, times)
        moved = np.array(
            [
                times[label == one].mean() if (label == one).any() else center
                for one, center in enumerate(centers)
            ]
        )
        if np.array_equal(moved, centers):
            break
        centers = moved
    return label


def clip_around(
    anchor: int, scores: Floats, vectors: Floats, num_keep: int, num_anchors: int
) -> tuple[int, int]:
    """Choose the first frame and the length of the clip around an anchor.

    Args:
        anchor: The frame in its middle; at the ends of the video the clip is shifted.
        scores: Relevance of the frames, ``[T]``.
        vectors: Their unit vectors, ``[T, D]``.
        num_keep: The budget, ``K``.
        num_anchors: How many clips share it, ``A``.
    """
    longest = max(1, int(MOST_SHRUNK**2 * num_keep / num_anchors))
    longest = min(longest, len(scores))
    best, found = -np.inf, (anchor, 1)
    for length in range(1, longest + 1):
        start = min(max(anchor - (length - 1) // 2, 0), len(scores) - length)
        clip = slice(start, start + length)
        alike = 0.0
        if length > 1:
            total = vectors[clip].sum(0)  # all pairs: the square of the sum
            own = float((vectors[clip] ** 2).sum())
            alike = (float(total @ total) - own) / (length * (length - 1))
        worth = scores[clip].mean() - REDUNDANCY * alike + LENGTH * length / longest
        if worth > best + 1e-12:
            best, found = worth, (start, length)
    return found
