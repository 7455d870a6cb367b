"""K-means, the temporal clustering of the published code, and its weighted form.

Letters beyond the shared ones: ``N`` points of an entry, ``C`` their width and
``K`` clusters.
"""

import torch
from torch import Tensor

from dynfocus.focus.clustering import (
    ClusterResult,
    check_points,
    cluster_membership,
    dpc_knn,
    with_own_centers,
)
from dynfocus.focus.distances import (
    Points,
    expand_index,
    round_last_bits,
    shifted_points,
    squared_distances,
)
from dynfocus.focus.settings import Clustering


@torch.no_grad()
def kmeans(
    x: Tensor,
    num_clusters: int,
    mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    max_iterations: int = 10,
    weights: Tensor | None = None,
) -> ClusterResult:
    r"""Cluster points by k-means, the temporal clustering of the published code.

    .. math::
        a_i = \arg\min_c \lVert x_i - \mu_c \rVert
        \qquad
        \mu_c = \frac{\sum_{a_i = c} w_i x_i}{\sum_{a_i = c} w_i}

    Stops after ``max_iterations`` or when the centroids of every entry moved by
    less than 1e-4 in sum.

    Differs from the published code:
        A centre is the point of its cluster nearest to the centroid, not the
        random seed the cluster grew from. Without a ``generator`` the seeds are
        evenly spaced points instead of random ones, so the result depends on
        nothing but ``x``. A cluster left empty is given the point farthest from
        its own centroid instead of a random one.

    Args:
        x: Points, shape ``[B, N, C]``.
        num_clusters: Clusters of each entry, from 1 to ``N``.
        mask: True at valid points, shape ``[B, N]``.
        generator: Source of random seeds.
        max_iterations: Largest number of rounds, from 1.
        weights: Weight of each point in its centroid, ``[B, N]``, none below 0; all
            points alike by default.

    Returns:
        The clusters; ``.distance`` is the distance to the own centroid over the
        square root of ``C``, ``.density`` is ``exp(-distance^2)`` and ``.score``
        equals it, so that a point counts more the nearer it is to its centroid; with
        ``weights``, ``.score`` are these.
    """
    valid = check_points(x, num_clusters, mask)
    _check_weights(weights, valid)
    if max_iterations < 1:
        raise ValueError(
            f"max_iterations must be at least 1, got {max_iterations}; use 10"
        )
    points = shifted_points(x, valid)
    used = torch.arange(num_clusters, device=x.device) < valid.sum(1, keepdim=True)
    seeds = _seed_points(valid, num_clusters, generator)
    centroids = points.at(seeds).values
    for _ in range(max_iterations):
        assignment = _assign_to_centroids(points, valid, centroids, used)
        member = cluster_membership(assignment, num_clusters).to(centroids.dtype)
        means = _shares(member, weights) @ points.values  # [B, K, C]
        shift = (means - centroids).norm(dim=2).where(used, 0).sum(1)
        settled = shift < 1e-4  # [B]: the centroids of these entries stay
        if bool(settled.all()):
            break
        centroids = centroids.where(settled[:, None, None], means)
    own = means.gather(1, expand_index(assignment.clamp(min=0), means))
    squared = round_last_bits((points.values - own).square().mean(2))
    squared = squared.where(valid, 0)
    to_mean = squared[:, None].where(member > 0, torch.inf)  # [B, K, N]
    centers = to_mean.argmin(2).where(used, -1)
    dtype = x.dtype if x.dtype == torch.float64 else torch.float32
    density = torch.exp(-squared).where(valid, 0).to(dtype)
    score = density if weights is None else weights.where(valid, 0).to(dtype)
    return ClusterResult(centers, assignment, density, squared.sqrt().to(dtype), score)


@torch.no_grad()
def cluster_points(
    x: Tensor,
    num_clusters: int,
    num_neighbors: int,
    method: Clustering,
    mask: Tensor | None = None,
) -> ClusterResult:
    """Cluster points by the method that the settings name (Table 11).

    Args:
        x: Points, shape ``[B, N, C]``.
        num_clusters: Clusters of each entry, from 1 to ``N``.
        num_neighbors: Neighbours of a point in its density.
        method: ``dpc`` (Eq. 1 and 4), ``kmeans``, or ``weighted_kmeans``, whose
            weights are the importance of the points, density times distance.
        mask: True at valid points, shape ``[B, N]``.
    """
    if method == "kmeans":
        return kmeans(x, num_clusters, mask)
    clusters = dpc_knn(x, num_clusters, num_neighbors, mask)
    if method == "dpc":
        return clusters
    return kmeans(x, num_clusters, mask, weights=clusters.score)


def _check_weights(weights: Tensor | None, valid: Tensor) -> None:
    if weights is not None and weights.shape != valid.shape:
        raise ValueError(
            f"weights must have shape {tuple(valid.shape)}, one a point, got "
            f"{tuple(weights.shape)}"
        )
    if weights is not None and bool((weights < 0).any()):
        raise ValueError(
            f"weights must be 0 or more, got {weights.min().item():g}; use their size"
        )


def _shares(member: Tensor, weights: Tensor | None) -> Tensor:
    """Return the share of each point in the mean of its cluster, ``[B, K, N]``.

    A cluster whose points weigh nothing is their plain mean.
    """
    plain = member / member.sum(2, keepdim=True).clamp(min=1)
    if weights is None:
        return plain
    heavy = member * weights[:, None].to(member.dtype)
    total = heavy.sum(2, keepdim=True)
    return (heavy / total.where(total > 0, 1)).where(total > 0, plain)


def _seed_points(
    valid: Tensor, num_clusters: int, generator: torch.Generator | None
) -> Tensor:
    """Choose distinct valid points of each entry, shape ``[B, K]``."""
    if generator is not None:
        keys = torch.rand(valid.shape, generator=generator, device=generator.device)
        keys = keys.to(valid.device).masked_fill(~valid, 2)
        return keys.argsort(dim=1, stable=True)[:, :num_clusters]
    order = (~valid).to(torch.uint8).sort(dim=1, stable=True).indices  # valid first
    count = valid.sum(1, keepdim=True)
    middle = 2 * torch.arange(num_clusters, device=valid.device) + 1
    spaced = middle * count // (2 * count.clamp(max=num_clusters).clamp(min=1))
    return order.gather(1, spaced.minimum((count - 1).clamp(min=0)))


def _assign_to_centroids(
    points: Points, valid: Tensor, centroids: Tensor, used: Tensor
) -> Tensor:
    """Assign points to centroids, ``[B, N]``, so that no used cluster is empty."""
    targets = Points(centroids, centroids.square().sum(2))
    squared = squared_distances(points, targets)
    squared.masked_fill_(~used[:, None], torch.inf)
    to_own, assignment = squared.min(2)
    member = cluster_membership(assignment.where(valid, -1), used.shape[1])
    to_member, centers = squared.transpose(1, 2).where(member, torch.inf).min(2)
    empty = used & to_member.isinf()
    is_center = torch.zeros_like(valid, dtype=torch.uint8)
    is_center.scatter_reduce_(1, centers, (~empty & used).to(torch.uint8), "amax")
    free = to_own.masked_fill(~valid | is_center.bool(), -1)
    farthest = free.sort(dim=1, descending=True, stable=True).indices
    turn = (empty.cumsum(1) - 1).clamp(min=0)
    centers = centers.where(~empty, farthest.gather(1, turn)).where(used, -1)
    return with_own_centers(assignment, valid, centers)
