"""Measure in full precision what decides on the centres.

Reduced distances are wrong by about a thousandth at most. That changes which points are
centres where two are about equally dense, as near the middle of a cluster, or about
equally good. The few points concerned are measured again, by differences.

Letters beyond the shared ones: ``N`` points of an entry, ``C`` their width, ``K``
clusters, ``k`` neighbours and ``m`` points that may be centres.
"""

import torch
from torch import Tensor

from dynfocus.focus.distances import made_ties
from dynfocus.focus.neighbors import Distances, Nearest
from dynfocus.focus.peaks import by_density, listed, log_density_of, squared_to_denser

_MARGIN = 2**-10
"""Share of a mean reduced distance by which it may be wrong."""

SPARE = 2
"""Neighbours sought beyond those wanted, in case they are nearer in truth."""

_NUM_DENSER = 3
"""Denser points among which the nearest is sought again."""

_SLICE = 1 << 18
"""Coordinates subtracted at once, for the caches' sake."""


def rescore(
    x: Tensor,
    distances: Distances,
    nearest: Nearest,
    weight: Tensor,
    reduced: tuple[Tensor, Tensor],
    num_clusters: int,
    num_neighbors: int,
) -> tuple[Tensor, Tensor]:
    """Measure the density of possible centres again, and how far a denser point is.

    Args:
        x: Points, shape ``[B, N, C]``.
        distances: Their reduced distances.
        nearest: The nearest points of each.
        weight: Number of points equal to each, ``[B, N]``, 0 at points not counted.
        reduced: Logarithm of the density, and squared distance to a denser point.
        num_clusters: Centres that will be chosen, ``K``.
        num_neighbors: As in ``dpc_knn``.

    Returns:
        Both again, ``[B, N]``, better at the points that matter.
    """
    counted = weight > 0
    if not bool(counted.any()):
        return reduced
    if nearest.indices is None:
        raise ValueError("nearest has no indices; ask for them to measure again")
    chosen = _possible_centers(distances, nearest, counted, reduced, num_clusters)
    log_density = reduced[0]
    index = _rows(nearest.indices, chosen)
    squared = _measured(x, chosen, index, _rows(nearest.squared, chosen))
    squared, place = squared.sort(dim=2)
    near = Nearest(squared, index.gather(2, place), nearest.largest)
    better = log_density_of(near, weight, num_neighbors)
    better = better.where(counted.gather(1, chosen), -torch.inf)
    log_density = log_density.scatter(1, chosen, better)
    order, rank = by_density(log_density)
    far = reduced[1]
    for part in torch.split(chosen, distances.edge, dim=1):
        reduced_far, index = _nearest_denser(distances, part, order, rank)
        squared = _measured(x, part, index, reduced_far).amin(2)
        squared = squared.where(rank.gather(1, part) > 0, nearest.largest[:, None])
        far = far.scatter(1, part, made_ties(squared))
    return log_density, far


def _possible_centers(
    distances: Distances,
    nearest: Nearest,
    counted: Tensor,
    reduced: tuple[Tensor, Tensor],
    num_clusters: int,
) -> Tensor:
    """List points that are among the best if all errors are in their favour.

    With them come their rivals: nearer points that may be denser or not.

    Returns:
        Indices, shape ``[B, m]``; others fill up.
    """
    log_density, squared = reduced
    order, rank = by_density(log_density)  # [B, N]
    falling = -log_density.gather(1, order)
    # points of lower rank than this are denser in truth, and only those below may be
    sure, unsure = (
        torch.searchsorted(falling, -log_density * (1 + error), right=error > 0)
        for error in (-_MARGIN, _MARGIN)
    )
    optimistic = squared_to_denser(distances, nearest, counted, order, rank, sure)
    score = (log_density + squared.log() / 2).masked_fill(~counted, -torch.inf)
    least = score.topk(num_clusters, dim=1).values[:, -1:]
    possible = log_density + optimistic.log() / 2 - 2 * _MARGIN * (log_density - 1)
    possible = counted & (possible >= least)
    reach = optimistic * (1 + _MARGIN)
    rivals = torch.zeros_like(possible)
    for part in torch.split(listed(possible, order), distances.edge, dim=1):
        low, high, far = (t.gather(1, part)[..., None] for t in (sure, unsure, reach))
        for points, between in distances.from_points(part, order[:, : int(high.max())]):
            place = rank.gather(1, points)[:, None]
            found = ((place >= low) & (place < high) & (between <= far)).any(1)
            rivals.scatter_(1, points, rivals.gather(1, points) | found)
    return listed(counted & (possible | rivals), order)


def _nearest_denser(
    distances: Distances, chosen: Tensor, order: Tensor, rank: Tensor
) -> tuple[Tensor, Tensor]:
    """Find a few of the nearest denser points, infinitely far where there are none.

    Returns:
        Squared distances to them and their indices, shape ``[B, n, k]`` both.
    """
    own = rank.gather(1, chosen)[..., None]
    denser_points = order[:, : max(1, int(own.max()))]
    squared, indices = [], []
    for points, between in distances.from_points(chosen, denser_points):
        denser = rank.gather(1, points)[:, None] < own
        between = between.where(denser, torch.inf)
        few = min(_NUM_DENSER, between.shape[2])
        least, place = between.topk(few, dim=2, largest=False)
        squared.append(least)
        indices.append(points[:, None].expand_as(between).gather(2, place))
    return torch.cat(squared, dim=2), torch.cat(indices, dim=2)


def _measured(x: Tensor, rows: Tensor, columns: Tensor, reduced: Tensor) -> Tensor:
    """Return squared distances over the width of some pairs, shape ``[B, m, k]``.

    Args:
        x: Points, shape ``[B, N, C]``.
        rows: Indices, shape ``[B, m]``.
        columns: Indices, shape ``[B, m, k]``.
        reduced: What was measured before; what is infinite stays so.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    step = max(1, _SLICE // max(1, columns.shape[2] * x.shape[2]))
    norms = [
        torch.linalg.vector_norm(_differences(points, own, far, dtype), dim=2)
        for points, row, column in zip(x, rows, columns, strict=True)
        for own, far in zip(row.split(step), column.split(step), strict=True)
    ]
    squared = torch.cat(norms).view_as(reduced).square() / x.shape[2]
    return squared.to(reduced.dtype).where(reduced.isfinite(), torch.inf)


def _differences(x: Tensor, own: Tensor, far: Tensor, dtype: torch.dtype) -> Tensor:
    """Subtract points ``[n]`` from points ``[n, k]``, shape ``[n, k, C]``."""
    taken = x.index_select(0, far.flatten()).view(*far.shape, -1)  # faster than x[far]
    return taken.to(dtype) - x.index_select(0, own).to(dtype)[:, None]


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Take rows of ``[B, N, k]`` at ``[B, m]``."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))
