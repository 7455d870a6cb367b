"""Densities of points, and the distance to the nearest denser one (Eq. 1, 4).

Letters beyond the shared ones: ``N`` points of an entry and ``k`` neighbours.
"""

import torch
from torch import Tensor

from dynfocus.focus.distances import made_ties
from dynfocus.focus.neighbors import Distances, Nearest


def by_density(log_density: Tensor) -> tuple[Tensor, Tensor]:
    """Return the points by falling density, and the rank of each, ``[B, N]`` both.

    Rank 0 is the densest point; of equals the lower index is denser.
    """
    order = log_density.sort(dim=1, descending=True, stable=True).indices
    return order, order.argsort(dim=1)


def log_density_of(nearest: Nearest, weight: Tensor, num_neighbors: int) -> Tensor:
    """Return minus the mean squared distance to the nearest points (Eq. 1).

    Without their indices each of them counts once.
    """
    squared = made_ties(nearest.squared)  # [B, N, k]
    count = weight.sum(1).clamp(min=1, max=num_neighbors)[:, None]  # [B, 1]
    if nearest.indices is None:
        weights = torch.ones_like(squared, dtype=weight.dtype)
    else:
        index = nearest.indices
        weights = weight.gather(1, index.flatten(1)).view_as(index)
    before = weights.cumsum(2) - weights
    weights = (count[..., None] - before).clamp(min=0).minimum(weights)
    return -(squared.where(weights > 0, 0) * weights).sum(2) / count


def squared_to_denser(
    distances: Distances,
    nearest: Nearest,
    counted: Tensor,
    order: Tensor,
    rank: Tensor,
    limit: Tensor,
) -> Tensor:
    """Return the squared distance to the nearest denser point (Eq. 4), ``[B, N]``.

    Where one of the nearest points is denser, the nearest denser one is among them. The
    others, the peaks of the density, look through all points denser than they are. To a
    point those are denser whose rank is below its limit, which is its own rank.
    """
    if nearest.indices is None:
        squared = distances.to_lower_rank(rank, nearest.largest)
        return made_ties(squared.where(limit > 0, nearest.largest[:, None]))
    rank_near = rank.gather(1, nearest.indices.flatten(1)).view_as(nearest.indices)
    denser = (rank_near < limit[..., None]) & nearest.squared.isfinite()
    squared = nearest.squared.where(denser, torch.inf).amin(2)
    peaks = listed(counted & squared.isinf() & (limit > 0), order)
    for part in torch.split(peaks, distances.edge, dim=1) if peaks.numel() else ():
        own_limit = limit.gather(1, part)[..., None]
        found = squared.gather(1, part)
        denser_points = order[:, : int(own_limit.max())]
        for points, between in distances.from_points(part, denser_points):
            denser = rank.gather(1, points)[:, None] < own_limit
            found = found.minimum(between.where(denser, torch.inf).amin(2))
        squared.scatter_(1, part, found)
    return made_ties(squared.where(limit > 0, nearest.largest[:, None]))


def listed(chosen: Tensor, order: Tensor) -> Tensor:
    """List the chosen points of each entry in ``order``, then others to fill up."""
    by_order = chosen.gather(1, order).to(torch.uint8)
    place = by_order.sort(dim=1, descending=True, stable=True).indices
    return order.gather(1, place)[:, : _most(chosen)]


def _most(chosen: Tensor) -> int:
    """Count the chosen points of the entry that has most."""
    return int(chosen.sum(1).max()) if chosen.numel() else 0
