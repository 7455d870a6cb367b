"""What the published code does otherwise than the paper, for ``official`` settings.

K-means in place of T-DPC, a score network that sees all prototypes at once, gated
groups of spatial prototypes, and smaller choices: a function or a module each.
K-means weighted by importance is a row of the paper's Table 11.

Letters beyond the shared ones: ``N`` points of an entry, ``C`` their width, ``K``
clusters or kept prototypes, ``L`` prototypes, ``P`` event tokens, ``n`` noise samples,
``F`` frames of any videos, ``M`` spatial prototypes of a frame, ``S`` layers of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from dynfocus.focus._distances import round_last_bits
from dynfocus.focus._points import (
    check_points,
    cluster_membership,
    expand_index,
    refuse_points,
    with_own_centers,
)
from dynfocus.focus.clustering import ClusterResult, dpc_knn

if TYPE_CHECKING:
    from dynfocus.focus.events import EventBatch

Clustering = Literal["dpc", "kmeans", "weighted_kmeans"]

_MOST_ROUNDS = 10


@torch.no_grad()
def cluster_points(
    x: Tensor,
    num_clusters: int,
    num_neighbors: int,
    method: Clustering = "dpc",
    mask: Tensor | None = None,
) -> ClusterResult:
    """Cluster points by the method that the settings name (Table 11).

    Args:
        x: Points, shape ``[B, N, C]``.
        num_clusters: Clusters of each entry, from 1 to ``N``.
        num_neighbors: Neighbours of a point in its density.
        method: ``dpc`` (the paper, Eq. 1 and 4), ``kmeans`` (the published code), or
            ``weighted_kmeans``, whose weights are the importance of the points, density
            times distance.
        mask: True at valid points, shape ``[B, N]``.

    Raises:
        ValueError: As ``dpc_knn`` does.
    """
    if method == "kmeans":
        return kmeans(x, num_clusters, mask)
    clusters = dpc_knn(x, num_clusters, num_neighbors, mask)
    if method == "dpc":
        return clusters
    return kmeans(x, num_clusters, mask, weights=clusters.score)


@torch.no_grad()
def kmeans(
    x: Tensor,
    num_clusters: int,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
) -> ClusterResult:
    r"""Cluster points by k-means, the temporal clustering of the published code.

    .. math::
        a_i = \arg\min_c \lVert x_i - \mu_c \rVert
        \qquad
        \mu_c = \frac{\sum_{a_i = c} w_i x_i}{\sum_{a_i = c} w_i}

    Stops after 10 rounds or when the centroids of every entry moved by less than 1e-4
    in sum.

    Differs from the published code:
        A centre is the point of its cluster nearest to the centroid, not the random
        seed the cluster grew from. The seeds are evenly spaced points instead of random
        ones, and a cluster left empty is given the point farthest from its own centroid
        instead of a random one, so the result depends on nothing but ``x``.

    Args:
        x: Points, shape ``[B, N, C]``.
        num_clusters: Clusters of each entry, from 1 to ``N``.
        mask: True at valid points, shape ``[B, N]``.
        weights: Weight of each point in its centroid, ``[B, N]``, none below 0; all
            points alike by default.

    Returns:
        The clusters; ``.distance`` is the distance to the own centroid over the
        square root of ``C``, ``.density`` is ``exp(-distance^2)`` and ``.score``
        equals it, so that a point counts more the nearer it is to its centroid; with
        ``weights``, ``.score`` are these.

    Raises:
        ValueError: If an argument is not as said, or a valid point is not finite.
    """
    valid = check_points(x, num_clusters, mask)
    points = _shifted_points(x, valid)
    lengths = points.square().sum(2)  # [B, N]
    if not bool(lengths.isfinite().all()):
        refuse_points(x, valid)
    used = torch.arange(num_clusters, device=x.device) < valid.sum(1, keepdim=True)
    seeds = _seed_points(valid, num_clusters)
    centroids = points.gather(1, expand_index(seeds, points))
    for _ in range(_MOST_ROUNDS):
        squared = _squared_distances(points, lengths, centroids)
        assignment = _assign_to_centroids(squared, valid, used)
        member = cluster_membership(assignment, num_clusters).to(centroids.dtype)
        means = _shares(member, weights) @ points  # [B, K, C]
        shift = (means - centroids).norm(dim=2).where(used, 0).sum(1)
        settled = shift < 1e-4  # [B]: the centroids of these entries stay
        if bool(settled.all()):
            break
        centroids = centroids.where(settled[:, None, None], means)
    own = means.gather(1, expand_index(assignment.clamp(min=0), means))
    to_own = round_last_bits((points - own).square().mean(2)).where(valid, 0)
    to_mean = to_own[:, None].where(member > 0, torch.inf)  # [B, K, N]
    centers = to_mean.argmin(2).where(used, -1)
    dtype = x.dtype if x.dtype == torch.float64 else torch.float32
    density = torch.exp(-to_own).where(valid, 0).to(dtype)
    score = density if weights is None else weights.where(valid, 0).to(dtype)
    return ClusterResult(centers, assignment, density, to_own.sqrt().to(dtype), score)


def _shifted_points(x: Tensor, valid: Tensor) -> Tensor:
    """Return points in double precision relative to the first valid one, others at 0.

    A shift by a point, unlike one by the mean, keeps whole numbers whole.
    """
    first = valid.to(torch.uint8).argmax(1)[:, None]  # [B, 1]
    points = x.to(torch.float32 if x.device.type == "mps" else torch.float64)
    points = points - points.gather(1, expand_index(first, points))
    return points.masked_fill(~valid[..., None], 0)


def _squared_distances(points: Tensor, lengths: Tensor, centroids: Tensor) -> Tensor:
    """Return squared distances over the width, ``[B, N, K]``, near ties made ties."""
    lengths = lengths[..., None] + centroids.square().sum(2)[:, None]
    squared = torch.baddbmm(lengths, points, centroids.mT, alpha=-2)
    squared.masked_fill_(squared <= 1e-13 * lengths, 0)
    return round_last_bits(squared / points.shape[2])


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


def _seed_points(valid: Tensor, num_clusters: int) -> Tensor:
    """Choose distinct valid points of each entry, evenly spaced, shape ``[B, K]``."""
    order = (~valid).to(torch.uint8).sort(dim=1, stable=True).indices  # valid first
    count = valid.sum(1, keepdim=True)
    middle = 2 * torch.arange(num_clusters, device=valid.device) + 1
    spaced = middle * count // (2 * count.clamp(max=num_clusters).clamp(min=1))
    return order.gather(1, spaced.minimum((count - 1).clamp(min=0)))


def _assign_to_centroids(squared: Tensor, valid: Tensor, used: Tensor) -> Tensor:
    """Assign points to the nearest centroid, ``[B, N]``; no used cluster stays empty.

    Args:
        squared: Distances to the centroids, shape ``[B, N, K]``.
        valid: True at valid points, shape ``[B, N]``.
        used: True at clusters that there are points for, shape ``[B, K]``.
    """
    squared = squared.masked_fill(~used[:, None], torch.inf)
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


class GlobalScoreNetwork(nn.Module):
    """Score prototypes in view of each other: the published code's network.

    It reads the mean and the maximum of each channel. Half of the channels after the
    first layer are replaced by their average over all prototypes of the video.

    Args:
        dim: Width of the event tokens, ``D``.
        num_context: Channels of the context that is read besides.
    """

    def __init__(self, dim: int, num_context: int = 0) -> None:
        super().__init__()
        half, num_inputs = max(1, dim // 2), 2 * dim + num_context
        self.in_conv = nn.Sequential(
            nn.LayerNorm(num_inputs), nn.Linear(num_inputs, 2 * dim), nn.GELU()
        )
        self.out_conv = nn.Sequential(
            nn.Linear(2 * dim, dim),
            nn.GELU(),
            nn.Linear(dim, half),
            nn.GELU(),
            nn.Linear(half, 1),
        )

    def forward(self, events: EventBatch, context: Tensor | None = None) -> Tensor:
        """Give raw scores, shape ``[B, L]``; see ``EventPrototypes.score``."""
        tokens, present = events.features, events.mask[..., None]
        summaries = [tokens.mean(2), tokens.amax(2)]
        if context is not None:
            summaries.append(context)
        hidden = self.in_conv(torch.cat(summaries, dim=2))
        local, shared = hidden.chunk(2, dim=2)  # [B, L, D]
        total = shared.masked_fill(~present, 0).sum(1, keepdim=True)
        average = total / present.sum(1, keepdim=True).clamp(min=1)
        channels = torch.cat([local, average.expand_as(local)], dim=2)
        return self.out_conv(channels).squeeze(2)


def diagonal_gradient(grad: Tensor, slots: Tensor, noise: Tensor) -> Tensor:
    """Return the gradient of the perturbed top-k that the published code has.

    Of Eq. 9 it keeps for score ``j`` only the term of ``P`` in row ``j``. That is biased.

    Args:
        grad: Gradient from above, shape ``[B, K, L]``; ``g`` of Eq. 9.
        slots: What each sample has in each slot, shape ``[B, n, K]``.
        noise: The samples, shape ``[B, n, L]``.

    Returns:
        The gradient times sigma, shape ``[B, L]``.
    """
    terms = grad.gather(2, slots.transpose(1, 2)).transpose(1, 2)  # [B, n, K]
    terms = terms * noise.gather(2, slots)
    sums = grad.new_zeros(grad.shape[0], grad.shape[2])
    sums.scatter_add_(1, slots.flatten(1), terms.flatten(1))
    return sums / noise.shape[1]


def gated_groups(
    gate: nn.Linear, layers: Sequence[Tensor], assignments: Sequence[Tensor]
) -> Tensor:
    """Scale spatial prototypes by a weight a cluster, and order them by cluster.

    ``softmax(gate(channel means of the last layer))`` gives one weight for each cluster
    of the last layer, which scales its token and all tokens merged into it.

    Args:
        gate: The learned layer, from and to as many numbers as the last layer has tokens.
        layers: Tokens of each layer, ``S`` times ``[F, M_s, D]``.
        assignments: Cluster of each token of the layer before, ``S`` of them.

    Returns:
        The tokens, each cluster's followed by its members in index order, ``[F, M, D]``.
    """
    weights = gate(layers[-1].mean(2)).softmax(1)  # [F, M_last]
    sizes = [layer.shape[1] for layer in layers]
    owner = _ancestors(assignments, sizes)[-1]
    scaled = torch.cat(list(layers), dim=1) * weights.gather(1, owner)[..., None]
    return scaled.gather(1, expand_index(group_order(assignments, sizes), scaled))


def group_order(assignments: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """Return the order of tokens cluster by cluster: its token, then its members.

    Args:
        assignments: Cluster of each token of the layer before, ``S`` of them.
        sizes: Tokens of each layer.

    Returns:
        Indices into the tokens of all layers in a row, shape ``[F, M]``.
    """
    ancestors = _ancestors(assignments, sizes)
    key = torch.zeros_like(ancestors[0])
    for own, size in zip(reversed(ancestors), reversed(sizes), strict=True):
        key = key * (size + 1) + own + 1
    return key.argsort(dim=1)


def _ancestors(assignments: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
    """Return the cluster of each token in each layer, ``S`` times ``[F, M]``.

    Tokens of a layer above have no cluster there: -1.
    """
    num_frames, device = assignments[0].shape[0], assignments[0].device
    layers: list[Tensor] = []
    for layer, size in enumerate(sizes):
        own = torch.arange(size, device=device).expand(num_frames, -1)
        parts = [own, own.new_full((num_frames, sum(sizes[layer + 1 :])), -1)]
        if layer:
            below = layers[-1][:, : sum(sizes[:layer])]
            parts.insert(0, assignments[layer].gather(1, below))
        layers.append(torch.cat(parts, dim=1))
    return layers


def lone_frames(mask: Tensor) -> Tensor:
    """Tell which real frames are the only one of their video, as an image is, ``[F]``.

    The published code gives them Rods and then Cones, and other kept frames Cones only.

    Args:
        mask: True at real frames, shape ``[B, T]``.
    """
    return (mask.sum(1, keepdim=True) == 1).expand_as(mask)[mask]
