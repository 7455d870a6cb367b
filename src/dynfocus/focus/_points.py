"""Points of a batch: checked, compared bit by bit, and added up by cluster or on a grid.

What ``dpc_knn``, ``kmeans`` and ``merge_clusters`` do beside their equations.

Letters beyond the shared ones: ``N`` points of an entry, ``C`` their width and
``K`` clusters.
"""

import math
from typing import NoReturn

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

_GLANCE = 4
"""Coordinates of points compared first: those that differ there need no second look."""

_SLICE = 1 << 22
"""Coordinates hashed at once."""


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


def first_equals(x: Tensor, valid: Tensor) -> Tensor:
    """Return for each point the first point of its entry that equals it, bit by bit.

    Args:
        x: Points, shape ``[B, N, C]``.
        valid: True at valid points, shape ``[B, N]``; the others equal only themselves.

    Returns:
        Indices, shape ``[B, N]``; most often the point's own.
    """
    stride = max(1, x.shape[2] // _GLANCE)
    first = _first_of_key(_hash(x[..., ::stride]), valid)
    own = torch.arange(x.shape[1], device=x.device)
    if stride == 1 or bool((first == own).all()):
        return first
    return _first_of_key(_hash(x), valid)


def _hash(x: Tensor) -> Tensor:
    """Hash points to 64 bits, shape ``[B, N]``; sums of integers have no rounding."""
    integer = torch.int16 if x.element_size() == 2 else torch.int32
    draw = torch.Generator().manual_seed(0)
    key = torch.zeros(x.shape[:2], dtype=torch.int64, device=x.device)
    width = max(1, _SLICE // max(1, key.numel()))
    for part in torch.split(x, width, dim=2):
        bits = (part + 0).contiguous().view(integer)  # + 0: of two zeros make one
        factors = torch.randint(
            -(1 << 63), (1 << 63) - 1, bits.shape[2:], generator=draw
        )
        key += (bits * factors.to(x.device)).sum(2)
    return key


def _first_of_key(key: Tensor, valid: Tensor) -> Tensor:
    """Return the first index in each entry that has the same key."""
    own = torch.arange(key.shape[1], device=key.device)
    keys, order = key.where(valid, own).sort(dim=1, stable=True)
    is_first = torch.ones_like(valid)
    is_first[:, 1:] = keys[:, 1:] != keys[:, :-1]
    if bool(is_first.all()):
        return own.expand_as(key)
    start = own.where(is_first, 0).cummax(1).values
    return torch.empty_like(order).scatter_(1, order, order.gather(1, start))


def add_by_cluster(
    x: Tensor, assignment: Tensor, weights: Tensor, num_clusters: int
) -> Tensor:
    """Add up the weighted points of each cluster, shape ``[B, K, C]``.

    Each point is read once and goes to one sum. As a matrix product, which multiplies
    it with zeros for all other clusters, this takes nearly twice as long.

    Args:
        x: Points, shape ``[B, N, C]``.
        assignment: Cluster of each point, shape ``[B, N]``, -1 for none.
        weights: What each point is multiplied with, shape ``[B, N]``.
        num_clusters: Clusters of each entry.
    """
    num_entries, num_points, width = x.shape
    num_bags = num_clusters + 1  # the first one for points of no cluster
    bag, order = (assignment + 1).sort(dim=1, stable=True)
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


def expand_index(index: Tensor, x: Tensor) -> Tensor:
    """Expand ``[B, K]`` to ``[B, K, C]`` to gather rows of ``x``."""
    return index[..., None].expand(-1, -1, x.shape[2])


def at_least_single(x: Tensor) -> Tensor:
    """Return ``x`` in single precision, or in double if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def average_grid(patches: Tensor, side: int) -> Tensor:
    """Average the patches of frames, ``[F, N, C]``, over a coarser grid, ``[F, side * side, C]``.

    Raises:
        ValueError: The patches do not form a square.
    """
    own = math.isqrt(patches.shape[1])
    if own * own != patches.shape[1]:
        raise ValueError(
            "patches must form a square grid, got "
            f"{patches.shape[1]} of them; drop the class token and crop to a square"
        )
    grid = rearrange(patches, "f (h w) c -> f c h w", h=own)
    return rearrange(F.adaptive_avg_pool2d(grid, side), "f c h w -> f (h w) c")
