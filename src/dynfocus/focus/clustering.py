"""Density-peaks clustering with k nearest neighbours, and merging (Eq. 1, 4, 5).

Letters beyond the shared ones: ``N`` points of an entry, ``C`` their width and
``K`` clusters. A point is a whole pooled frame (T-DPC) or a patch (S-DPC).
"""

from dataclasses import dataclass, replace
from typing import Literal, NoReturn

import torch
from torch import Tensor

from dynfocus.focus._distances import (
    Distances,
    Nearest,
    entries_at_once,
    first_equals,
    made_ties,
)

MergeWeight = Literal["uniform", "importance", "exponential"]

_LEAST_LOG = -1e300
"""Stands for the logarithm of 0, above the one of a masked point."""


@dataclass(frozen=True)
class ClusterResult:
    """Clusters of a batch of point sets."""

    centers: Tensor
    """Index of the point at each centre, shape ``[B, K]``, -1 in surplus slots."""
    assignment: Tensor
    """Cluster of each point, shape ``[B, N]``, -1 for masked points."""
    density: Tensor
    """Density of each point, shape ``[B, N]``; ``rho`` in the paper."""
    distance: Tensor
    """Distance to the nearest denser point, ``[B, N]``; ``delta`` in the paper."""
    score: Tensor
    """Density times distance, shape ``[B, N]``; the importance of a point."""

    def in_point_order(self) -> "ClusterResult":
        """Number the clusters by increasing index of their centre point."""
        last = torch.iinfo(self.centers.dtype).max
        by_index = self.centers.masked_fill(self.centers < 0, last)
        order = by_index.sort(dim=1, stable=True).indices  # [B, K]
        assignment = order.argsort(dim=1).gather(1, self.assignment.clamp(min=0))
        return replace(
            self,
            centers=self.centers.gather(1, order),
            assignment=assignment.masked_fill(self.assignment < 0, -1),
        )


@torch.no_grad()
def dpc_knn(
    x: Tensor, num_clusters: int, num_neighbors: int, mask: Tensor | None = None
) -> ClusterResult:
    r"""Cluster points around density peaks (Eq. 1 and 4).

    .. math::
        \rho_i = \exp\Big(-\frac1k \sum_{j \in \mathcal N(i)} d_{ij}^2\Big)
        \qquad
        \delta_i = \min_{j : \rho_j > \rho_i} d_{ij}
        \qquad
        d_{ij} = \lVert x_i - x_j \rVert / \sqrt{C}

    Centres are the points with the largest ``rho delta``; every other point joins
    its nearest centre. Symbols: ``rho`` is ``.density``, ``delta`` is
    ``.distance``, ``rho delta`` is ``.score``, ``N(i)`` the ``num_neighbors``
    nearest points, the point itself among them (``C`` of them in the paper).

    Differs from the paper:
        The densest point takes the largest distance of its batch entry for ``delta``,
        not the largest of its own, as in the published code. ``delta`` is a distance,
        not its square, and distances are divided by the square root of the width, as
        in the published code; so scores do not depend on the width. The code's random
        tie-break is replaced: of equally dense points the lower index counts as
        denser, of equal scores the lower index is the better centre. Comparisons use
        logarithms, so densities that underflow to 0 still have an order.

    Args:
        x: Points, shape ``[B, N, C]``. Distances of points in double precision are
            computed in it, and near ties made ties; all others in single precision.
        num_clusters: Centres of each entry, from 1 to ``N``.
        num_neighbors: Points in a neighbourhood, clipped to the valid points.
        mask: True at valid points, shape ``[B, N]``. The others are neither
            centres nor neighbours, and what they hold has no influence.

    Returns:
        The clusters, centres by falling score. Gradients do not flow.

    Raises:
        ValueError: If an argument is not as said, or a valid point is not finite.
    """
    valid = check_points(x, num_clusters, mask)
    if num_neighbors < 1:
        raise ValueError(
            f"num_neighbors must be at least 1, got {num_neighbors}; "
            "a point is its own first neighbour"
        )
    size = entries_at_once(x)
    parts = [
        _cluster_by_density(points, keep, num_clusters, num_neighbors)
        for points, keep in zip(
            torch.split(x, size), torch.split(valid, size), strict=True
        )
    ]
    centers, assignment, *numbers = map(torch.cat, zip(*parts, strict=True))
    dtype = x.dtype if x.dtype == torch.float64 else torch.float32
    density, distance, score = (number.to(dtype) for number in numbers)
    return ClusterResult(centers, assignment, density, distance, score)


def _cluster_by_density(
    x: Tensor, valid: Tensor, num_clusters: int, num_neighbors: int
) -> tuple[Tensor, ...]:
    """Cluster a few entries: centres, assignment, density, distance, score.

    Of equal points only the first is counted, with the number of them as its weight;
    to the others it is denser, and nearer than anything else.
    """
    first = first_equals(x, valid)  # [B, N]
    weight = torch.zeros_like(first).scatter_add_(1, first, valid.to(first.dtype))
    counted = weight > 0
    distances = Distances(x, valid)
    nearest = distances.nearest(
        min(num_neighbors, x.shape[1]), counted, indexed=bool((weight > 1).any())
    )
    if not distances.are_finite:
        refuse_points(x, valid)
    log_density = _log_density(nearest, weight, num_neighbors)
    log_density = log_density.masked_fill(~counted, -torch.inf)
    order = log_density.sort(dim=1, descending=True, stable=True).indices
    squared = made_ties(distances.to_denser(nearest, counted, order))
    distance = squared.where(counted, 0).sqrt()
    log_density = log_density.gather(1, first).masked_fill(~valid, -torch.inf)
    log_score = (log_density + distance.log()).clamp(min=_LEAST_LOG)
    log_score = log_score.masked_fill(~valid, -torch.inf)
    best = log_score.sort(dim=1, descending=True, stable=True).indices
    centers = best[:, :num_clusters]
    centers = centers.where(valid.gather(1, centers), -1)
    assignment = _assign_to_centers(distances, counted, centers).gather(1, first)
    assignment = with_own_centers(assignment, valid, centers)
    density = log_density.exp()
    return centers, assignment, density, distance, density * distance


def _log_density(nearest: Nearest, weight: Tensor, num_neighbors: int) -> Tensor:
    """Return minus the mean squared distance to the nearest points (Eq. 1).

    Args:
        nearest: The nearest points; without their indices each of them counts once.
        weight: How often each point counts, shape ``[B, N]``.
        num_neighbors: Points in a neighbourhood.
    """
    squared = made_ties(nearest.squared)  # [B, N, k]
    count = weight.sum(1).clamp(min=1, max=num_neighbors)[:, None]  # [B, 1]
    if nearest.indices is None:
        weights = torch.ones_like(squared, dtype=weight.dtype)
    else:
        weights = weight.gather(1, nearest.indices.flatten(1)).view_as(squared)
    before = weights.cumsum(2) - weights
    weights = (count[..., None] - before).clamp(min=0).minimum(weights)
    return -(squared.where(weights > 0, 0) * weights).sum(2) / count


def _assign_to_centers(
    distances: Distances, counted: Tensor, centers: Tensor
) -> Tensor:
    """Return the cluster of the nearest centre, of equals the better centre's."""
    chosen = centers.clamp(min=0)
    refused = (centers < 0) | ~counted.gather(1, chosen)
    return torch.cat(
        [
            made_ties(squared).masked_fill(refused[:, None], torch.inf).argmin(2)
            for squared in distances.to_points(chosen)
        ],
        dim=1,
    )


def merge_clusters(
    x: Tensor, result: ClusterResult, weight: MergeWeight = "importance"
) -> Tensor:
    r"""Merge the points of each cluster into one (Eq. 5).

    .. math::
        m_l = \frac{\sum_{i \in \mathcal C_l} w_i x_i}{\sum_{i \in \mathcal C_l} w_i}

    Symbols: ``m_l`` is row ``l`` of the result, ``C_l`` the points assigned to
    cluster ``l``; ``w`` is 1 for ``uniform``, ``result.score`` (``rho delta``) for
    ``importance`` and its exponential for ``exponential``.

    Differs from the paper:
        The paper leaves the weighting open. A cluster whose weights are all 0 is
        merged uniformly.

    Args:
        x: Points, shape ``[B, N, C]``, those that were clustered.
        result: The clusters.
        weight: The weighting. Gradients flow to ``x``, not to the weights.

    Returns:
        Merged points, shape ``[B, K, C]``, zeros in surplus slots.

    Raises:
        ValueError: If the weighting is unknown, or a clustered point is not finite.
    """
    dtype = x.dtype if x.dtype == torch.float64 else torch.float32
    merged = _weighted_sums(x.to(dtype), result, merge_weights(result, weight))
    if not bool(merged.isfinite().all()):
        refuse_points(x, result.assignment >= 0)
    return merged.to(x.dtype)


def merge_weights(result: ClusterResult, weight: MergeWeight) -> Tensor:
    """Return the weight of each point in the merged point of its cluster.

    Args:
        result: The clusters.
        weight: The weighting, as in ``merge_clusters``.

    Returns:
        ``w_i / sum w`` of Eq. 5, shape ``[B, N]``; they sum to 1 over a cluster and are
        0 at masked points.

    Raises:
        ValueError: If the weighting is unknown.
    """
    member = cluster_membership(result.assignment, result.centers.shape[1])  # [B, K, N]
    score = result.score.detach()[:, None]  # [B, 1, N]
    equal = member.to(score.dtype)
    if weight == "uniform":
        weights = equal
    elif weight == "importance":
        weights = equal * score
        weights = weights.where(weights.sum(2, keepdim=True) > 0, equal)
    elif weight == "exponential":
        logits = score.masked_fill(~member, -torch.inf)
        weights = torch.exp(logits - logits.amax(2, keepdim=True).clamp(min=0))
    else:
        raise ValueError(
            "weight must be 'uniform', 'importance' or 'exponential', "
            f"got {weight!r}; choose one of these"
        )
    tiny = torch.finfo(weights.dtype).tiny
    return (weights / weights.sum(2, keepdim=True).clamp(min=tiny)).sum(1)


def _weighted_sums(x: Tensor, result: ClusterResult, weights: Tensor) -> Tensor:
    """Add up the points of each cluster, shape ``[B, K, C]``; masked ones have none.

    Each point is read once and goes to one sum. As a matrix product, which multiplies
    it with zeros for all other clusters, this takes nearly twice as long.

    Args:
        x: Points, shape ``[B, N, C]``.
        result: Their clusters.
        weights: What each point is multiplied with, shape ``[B, N]``.
    """
    num_entries, num_points, width = x.shape
    num_bags = result.centers.shape[1] + 1  # the first one for masked points
    bag, order = (result.assignment + 1).sort(dim=1, stable=True)
    starts = torch.arange(num_entries, device=x.device)[:, None] * num_points
    bags = torch.arange(num_bags, device=x.device).expand(num_entries, -1)
    offsets = starts + torch.searchsorted(bag, bags.contiguous())
    sums = torch.nn.functional.embedding_bag(
        (starts + order).flatten(),
        x.reshape(-1, width),
        offsets.flatten(),
        mode="sum",
        per_sample_weights=weights.to(x.dtype).gather(1, order).flatten(),
    )
    return sums.view(num_entries, num_bags, width)[:, 1:].contiguous()


def check_points(x: Tensor, num_clusters: int, mask: Tensor | None) -> Tensor:
    """Refuse what cannot be clustered; return the mask of valid points."""
    if x.ndim != 3 or not x.is_floating_point():
        raise ValueError(
            "x must be a floating-point tensor of shape [B, N, C], got "
            f"{x.dtype} of shape {tuple(x.shape)}; add a batch dimension or convert it"
        )
    if not 1 <= num_clusters <= x.shape[1]:
        raise ValueError(
            f"num_clusters must be in [1, {x.shape[1]}], the number of points, "
            f"got {num_clusters}; ask for fewer clusters"
        )
    if mask is None:
        return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    if mask.dtype != torch.bool or mask.shape != x.shape[:2]:
        raise ValueError(
            f"mask must be a bool tensor of shape {tuple(x.shape[:2])}, got "
            f"{mask.dtype} of shape {tuple(mask.shape)}; mark each point of x"
        )
    return mask


def refuse_points(x: Tensor, valid: Tensor) -> NoReturn:
    """Say what is wrong with points whose squares are not finite."""
    wrong = x[valid]
    wrong = wrong[~wrong.isfinite()]
    found = f"{wrong[0].item()}" if len(wrong) else "numbers whose squares overflow"
    raise ValueError(
        f"x must hold finite numbers at valid points, got {found}; mask such points, or "
        "look for the overflow in the model that the features come from"
    )


def cluster_membership(assignment: Tensor, num_clusters: int) -> Tensor:
    """Return whether each point is in each cluster, shape ``[B, K, N]``."""
    clusters = torch.arange(num_clusters, device=assignment.device)
    return assignment[:, None] == clusters[:, None]


def with_own_centers(assignment: Tensor, valid: Tensor, centers: Tensor) -> Tensor:
    """Put every centre into its own cluster and masked points into none."""
    num_points = assignment.shape[1]
    target = centers.where(centers >= 0, num_points)  # surplus slots: a spare column
    clusters = torch.arange(centers.shape[1], device=centers.device)
    spare = torch.nn.functional.pad(assignment, (0, 1))
    own = spare.scatter(1, target, clusters.expand_as(centers))
    return own[:, :num_points].where(valid, -1)
