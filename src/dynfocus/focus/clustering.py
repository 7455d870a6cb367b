"""Density-peaks clustering with k nearest neighbours, and merging (Eq. 1, 4, 5).

Letters beyond the shared ones: ``N`` points of an entry, ``C`` their width and
``K`` clusters. A point is a whole pooled frame (T-DPC) or a patch (S-DPC).
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from dynfocus.focus._distances import Distances, entries_at_once, full_products
from dynfocus.focus._points import (
    add_by_cluster,
    check_points,
    cluster_membership,
    refuse_points,
    with_own_centers,
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
    batches = zip(torch.split(x, size), torch.split(valid, size), strict=True)
    with full_products(x.device.type):
        parts = [_cluster(*batch, num_clusters, num_neighbors) for batch in batches]
    centers, assignment, *numbers = map(torch.cat, zip(*parts, strict=True))
    dtype = x.dtype if x.dtype == torch.float64 else torch.float32
    return ClusterResult(centers, assignment, *(number.to(dtype) for number in numbers))


def _cluster(
    x: Tensor, valid: Tensor, num_clusters: int, num_neighbors: int
) -> tuple[Tensor, ...]:
    """Cluster a few entries: centres, assignment, density, distance, score."""
    distances = Distances(x, valid)
    log_density = -distances.mean_of_nearest(num_neighbors)  # Eq. 1
    distance = distances.to_denser(log_density).sqrt()  # Eq. 4
    log_score = (log_density + distance.log()).clamp(min=_LEAST_LOG)
    log_score = log_score.masked_fill(~valid, -torch.inf)
    best = log_score.sort(dim=1, descending=True, stable=True).indices
    centers = best[:, :num_clusters]
    centers = centers.where(valid.gather(1, centers), -1)
    assignment = with_own_centers(distances.nearest_among(centers), valid, centers)
    density = log_density.exp()
    return centers, assignment, density, distance, density * distance


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
    num_clusters = result.centers.shape[1]
    weights = merge_weights(result, weight).sum(1)  # [B, N]
    merged = add_by_cluster(x.to(dtype), result.assignment, weights, num_clusters)
    if not bool(merged.detach().sum().isfinite()):  # not each: that takes longer
        refuse_points(x, result.assignment >= 0)
    return merged.to(x.dtype)


def merge_weights(result: ClusterResult, weight: MergeWeight) -> Tensor:
    """Return what ``merge_clusters`` multiplies each point with: ``w_i / sum w``.

    The arguments are those of ``merge_clusters``.

    Returns:
        Weights, shape ``[B, K, N]``: for each cluster of sum 1, and 0 at other points.
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
    return weights / weights.sum(2, keepdim=True).clamp(min=tiny)
