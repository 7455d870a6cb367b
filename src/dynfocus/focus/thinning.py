"""Fewer frames, the same events: which frames of a long video have tokens.

Letters beyond the shared ones: ``L`` event prototypes, ``R`` frames that are read.
"""

import torch
from torch import Tensor

from dynfocus.focus.events import TimePrototypes

_LEAST_CHANGE = 0.1
"""A change of relevance below this is not taken for one."""


def thin_frames(
    prototypes: TimePrototypes,
    num_frames: int,
    num_keep: int,
    relevance: Tensor | None = None,
) -> tuple[Tensor, TimePrototypes]:
    """Choose the frames of a video that are read, and keep what all frames told.

    The centre frames of the event prototypes stay, so that each of them can become a
    Cone. With ``relevance`` so do the best frames of the quarter of the events that fit
    best, and up to half of the rest are the frames between which it changes most, so
    that what is asked for is seen to come and go. What then remains is
    taken evenly from the other frames. Where there are more prototypes than frames to
    keep, some of the centres are taken, evenly. Every frame, kept or not, has had its
    part in the prototypes. The size of the choice looks at no content.

    Not in the paper, where every sampled frame has tokens.

    Args:
        prototypes: The prototypes of one video, as a batch of one.
        num_frames: Frames of the video, ``T``.
        num_keep: Frames to keep, from 1 to ``T``; ``R``.
        relevance: How well each frame fits the question, from 0 to 1, ``[T]``.

    Returns:
        Increasing frame indices ``[R]``, int64, and the prototypes of a video of these
        frames.
    """
    if not 1 <= num_keep <= num_frames:
        raise ValueError(f"num_keep must be in [1, {num_frames}], got {num_keep}")
    centers = prototypes.frames[0]  # [L], increasing
    num_prototypes = len(centers)
    if num_keep < num_prototypes:
        slots = _spread(num_prototypes, num_keep, centers.device)
        places = torch.arange(num_keep, device=centers.device)[None]  # [1, R]
        features = prototypes.features[:, slots]
        mask = prototypes.mask[:, slots]
        return centers[slots], TimePrototypes(features, places, mask, places)
    is_kept = torch.zeros(num_frames, dtype=torch.bool, device=centers.device)
    is_kept[centers] = True
    if relevance is not None:
        most = (num_keep - num_prototypes) // 2
        is_kept |= _edges(relevance, most)
        best = _best_frames(prototypes, relevance)
        is_kept[best[: max(0, num_keep - int(is_kept.sum()))]] = True
    others = (~is_kept).nonzero()[:, 0]
    is_kept[
        others[_spread(len(others), num_keep - int(is_kept.sum()), others.device)]
    ] = True
    frames = is_kept.nonzero()[:, 0]
    return frames, TimePrototypes(
        features=prototypes.features,
        frames=torch.searchsorted(frames, centers)[None],
        mask=prototypes.mask,
        assignment=prototypes.assignment[:, frames],
    )


def _best_frames(prototypes: TimePrototypes, relevance: Tensor) -> Tensor:
    """Give the best frame of each of the events that fit best, a quarter of them."""
    frames, ratings = prototypes.best_frames(relevance[None])
    best = ratings[0].sort(descending=True, stable=True).indices
    return frames[0, best[: max(1, len(best) // 4)]]


def _edges(relevance: Tensor, most: int) -> Tensor:
    """Mark both frames of the largest changes, at most ``most`` frames, ``[T]``."""
    changes = relevance.diff().abs()  # [T - 1]
    count = min(most // 2, len(changes))
    largest = changes.topk(count).indices
    largest = largest[changes[largest] >= _LEAST_CHANGE]
    is_edge = torch.zeros_like(relevance, dtype=torch.bool)
    is_edge[largest] = True
    is_edge[largest + 1] = True
    return is_edge


def _spread(num_items: int, num_keep: int, device: torch.device) -> Tensor:
    """Return the middles of ``num_keep`` equal stretches of so many items."""
    steps = torch.arange(num_keep, device=device)
    return (2 * steps + 1) * num_items // (2 * max(1, num_keep))
