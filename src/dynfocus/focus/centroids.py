"""K-means, the temporal clustering of the published code.

Letters beyond the shared ones: ``N`` points of an entry, ``C`` their width and
``K`` clusters.
"""

import torch
from torch import Tensor

from dynfocus.focus.clustering import (
    ClusterResult,
    check_points,
    cluster_membership,
    with_own_centers,
)
from dynfocus.focus.distances import (
    Points,
    expand_index,
    round_last_bits,
    shifted_points,
    squared_distances,
)


@torch.no_grad()
def kmeans(
    x: Tensor,
    num_clusters: int,
    mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    max_iterations: int = 10,
) -> ClusterResult:
    r"""Cluster points by k-means, the temporal clustering of the published code.

    .. math::
        a_i = \arg\min_c \lVert x_i - \mu_c \rVert
        \qquad
        \mu_c = \mathrm{mean}\{x_i : a_i = c\}

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

    Returns:
        The clusters; ``.distance`` is the distance to the own centroid over the
        square root of ``C``, ``.density`` is ``exp(-distance^2)`` and ``.score``
        equals it, so that a point counts more the nearer it is to its centroid.
    """
    valid = check_points(x, num_clusters, mask)
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
        count = member.sum(2, keepdim=True).clamp(min=1)
        means = (member / count) @ points.values  # [B, K, C]
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
    return ClusterResult(
        centers, assignment, density, squared.sqrt().to(dtype), density
    )


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
