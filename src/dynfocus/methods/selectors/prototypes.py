"""Event prototypes of any video, found without weights and without a question.

T-DPC (Eq. 1 and 4 of the paper) over cheap image features: the frames at density peaks
are the event prototypes, every other frame belongs to the nearest of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynfocus.focus import ClusterResult, dpc_knn

_NUM_NEIGHBORS = 5
_STANDS_OUT = 0.4
"""Density times distance from which on a frame is an event of its own."""
_STANDS_OUT_RATIOS = (0.35, 0.7)
"""The same in a video of one scene, as shares of the second and third best scores: the
best belongs to the scene itself, and two clear events leave only noise for the third."""
_STANDS_STILL = 0.03
"""Second-best score below which a video shows one unchanging picture."""
_CONTRAST = 2.0
"""Distance that frames far apart are stretched to, so that density tells moments that
last from passing ones in a video of low contrast too."""
_CONTRAST_QUANTILE = 0.9
_LEAST_CONTRAST = 0.1
_MOST_COMPARED = 300
_AUTO_CAPS = (12, 30)
_AUTO_CAP_SECONDS = 15.0


def find_events(
    features: Tensor, num_events: int | None, duration: float
) -> ClusterResult:
    """Cluster frames around density peaks (T-DPC), without weights or a question.

    Args:
        features: What `image_features` gives, ``[T, C]``.
        num_events: How many; by default as many as stand out, 12 at most for up to
            three minutes and 30 at most for longer videos.
        duration: Length of the video in seconds.

    Returns:
        The events in the order of their peaks in time, a batch of one; scores tell how
        much a frame stands out.
    """
    points = features[None]
    stretch = contrast_stretch(features)
    points = points * stretch
    if num_events is None:
        scores = dpc_knn(points, 1, _NUM_NEIGHBORS).score[0] / stretch
        num_events = _count_events(scores.numpy(), duration)
    found = dpc_knn(points, num_events, _NUM_NEIGHBORS).in_point_order()
    return replace(found, score=found.score / stretch)


def contrast_stretch(points: Tensor, usual: float = _CONTRAST) -> float:
    """Choose the factor that brings features of low contrast to the usual one.

    Args:
        points: Features, ``[T, C]``.
        usual: Distance that frames far apart are stretched to.

    Returns:
        A factor of at least 1.
    """
    step = -(-len(points) // _MOST_COMPARED)
    some = points[::step]
    distances = torch.pdist(some) / some.shape[1] ** 0.5
    if not len(distances):
        return 1.0
    contrast = float(distances.quantile(_CONTRAST_QUANTILE))
    return max(1.0, usual / max(contrast, _LEAST_CONTRAST))


def _count_events(scores: NDArray[np.float32], duration: float) -> int:
    """Count the frames that stand out: clear events, or else relative ones."""
    if len(scores) == 1:
        return 1
    ranked = np.sort(scores)[::-1]
    second = float(ranked[1])
    if second < _STANDS_STILL:
        return 1
    relative = np.array(_STANDS_OUT_RATIOS[: len(ranked) - 1]) * ranked[1:3]
    threshold = min(_STANDS_OUT, float(relative.max()))
    least, most = _AUTO_CAPS
    cap = min(max(int(duration / _AUTO_CAP_SECONDS), least), most)
    return min(int((scores >= threshold).sum()), cap)


def stretches_of(
    assignment: NDArray[np.int64], times: NDArray[np.float64], duration: float
) -> dict[int, tuple[tuple[float, float], ...]]:
    """Join neighbouring frames of one event into intervals of time.

    Args:
        assignment: The event of each frame, ``[T]``.
        times: Times of the frames, increasing, ``[T]``.
        duration: Length of the video in seconds.

    Returns:
        Half-open intervals in seconds, in time order, by event.
    """
    starts = np.flatnonzero(np.diff(assignment, prepend=-1))
    ends = np.append(times[starts[1:]], max(duration, times[-1]))
    result: dict[int, tuple[tuple[float, float], ...]] = {}
    for index, end in zip(starts, ends, strict=True):
        event = int(assignment[index])
        stretch = (float(times[index]), float(end))
        result[event] = (*result.get(event, ()), stretch)
    return result
