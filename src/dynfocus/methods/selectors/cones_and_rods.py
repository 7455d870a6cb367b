"""DynFocus without training: the frames that matter become Cones, all others Rods.

Letters: T frames, C width of the features, L events.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dynfocus.focus import dpc_knn
from dynfocus.methods.selectors.interface import (
    SMALL,
    Floats,
    Selection,
    SelectorInput,
    best_first,
    min_max,
)

NUM_NEIGHBORS = 5
TEMPERATURE = 0.02
"""Difference of similarities that makes one weight ``e`` times another."""
_MIN_EVENTS = 25


def choose_cones(given: SelectorInput, num_cones: int) -> Selection:
    r"""Keep all frames, those that matter most as Cones; nothing is trained.

    Frames are clustered into events by T-DPC over their features. An event matters by
    the importance of its centre, density times distance (Eq. 1, 4). Without a scorer the
    centres of the events that matter most become Cones. With one, a frame is worth the
    importance of its event times its own relevance, over its rank by that among the
    frames of the event, and the frames worth most become Cones: a question about one
    moment may have several Cones of it, each worth less than the one before.

    Differs from the paper:
        Nothing is learned: the score network is replaced as above. Features are scaled
        to unit deviation before clustering, because density depends on their scale.

    Args:
        given: The frames, ``T`` of them.
        num_cones: How many become Cones, ``K`` in the paper.

    Returns:
        All frames, Cones first, Rods small.
    """
    num_frames = given.num_frames
    num_events = min(num_frames, max(_MIN_EVENTS, num_cones))
    points = standardized(given.features[None])
    clusters = dpc_knn(points, num_events, min(NUM_NEIGHBORS, num_frames))
    event = clusters.assignment[0].cpu().numpy()
    centers = clusters.centers[0].cpu()
    peaks = clusters.score[0].cpu()[centers].double().numpy()
    if given.compare is not None:
        worth = peaks[event] * relevance(given.score())
        importance = min_max(worth / _ranks_within(event, worth))
        order = best_first(importance)
    else:
        event_importance = min_max(peaks)
        importance = event_importance[event]
        leading = centers.numpy()[best_first(event_importance)]
        rest = np.setdiff1d(np.arange(num_frames), leading)
        order = np.concatenate([leading, rest[best_first(importance[rest])]])
    scale = np.where(np.arange(num_frames) < num_cones, 1.0, SMALL)
    return Selection.of(order, scale=scale, importance=importance[order])


def relevance(similarity: Floats) -> Floats:
    """Turn similarities into weights that can outweigh densities, which are exponential.

    Args:
        similarity: Of each frame to the question, a cosine, ``[T]``.

    Returns:
        ``exp((similarity - best similarity) / 0.02)``: 1 for the best, above 0, ``[T]``.
    """
    return np.exp((similarity - similarity.max()) / TEMPERATURE)


def standardized(points: Tensor) -> Tensor:
    """Scale the points of each set ``[B, N, C]`` to mean 0 and unit deviation."""
    points = points.float()
    points = points - points.mean(1, keepdim=True)
    deviation = points.square().mean((1, 2), keepdim=True).sqrt()
    return points / deviation.clamp(min=1e-6)


def _ranks_within(event: NDArray[np.int64], worth: Floats) -> NDArray[np.int64]:
    """Number the frames of each event from 1, the one of most worth first, ``[T]``."""
    order = np.lexsort((-worth, event))  # event after event
    first = np.searchsorted(event[order], event[order])
    ranks = np.empty_like(event)
    ranks[order] = np.arange(len(event)) - first + 1
    return ranks
