"""Features become the tensors of an index file, and come back.

Letters: T frames, K tokens of a frame, D width, M_s spatial prototypes of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dynfocus.focus import (
    EventBatch,
    FocusSettings,
    merge_clusters,
    merge_weights,
)
from dynfocus.focus.features import WINDOW_FRAMES, VideoFeatures
from dynfocus.focus.official import cluster_points
from dynfocus.index.layout import IndexLayout

_LEVELS = 127
_OF_FRAMES = ("pts_seconds", "spatial", "pooled", "patches")
_PROTOTYPES = {
    "prototype_features": "features",
    "prototype_frames": "frames",
    "prototype_mask": "mask",
    "prototype_assignment": "assignment",
}
"""The fields of `EventBatch` by the names of their tensors."""


def pack_features(features: VideoFeatures, layout: IndexLayout) -> dict[str, Tensor]:
    """Turn features into the tensors that an index keeps.

    Args:
        features: The features with their event prototypes, or patches from which nothing
            was made for storage ``"patches"``, on any device.
        layout: The layout of their model.

    Returns:
        The tensors by the names of `IndexLayout.tensors`, but for the pictures, on the
        CPU.
    """
    if layout.storage == "patches":
        patches, seconds = features.spatial, features.pts_seconds
        return {
            "patches": patches.detach().cpu().to(layout.dtype),
            "pts_seconds": seconds.cpu(),
        }
    tensors = {name: getattr(features, name) for name in _OF_FRAMES}
    for name, field in _PROTOTYPES.items():
        tensors[name] = getattr(features.prototypes, field)
    tensors = {name: t.detach().cpu() for name, t in tensors.items() if t is not None}
    if layout.storage == "exact":
        return tensors
    tensors.pop("pooled", None)
    kept = tensors.pop("spatial")[:, : layout.num_coded_tokens]
    tensors |= _code("spatial", kept)
    if not layout.focus.spatial_gate:
        tensors |= _describe_layers(kept, layout.focus)
    if "patches" in tensors:
        tensors |= _code("patches", tensors.pop("patches"))
    return tensors


def unpack_features(
    tensors: Mapping[str, Tensor], layout: IndexLayout
) -> VideoFeatures:
    """Give the features back that `pack_features` packed.

    Exact storage gives them bit by bit and copies nothing. Compact storage gives each
    channel of a token of the first layer within half of its scale times the scale of
    the channel, those of further layers, which are averages, within the largest such
    error of the tokens they merge; and no pooled frames.

    Args:
        tensors: What `pack_features` gave.
        layout: The layout of their model.

    Returns:
        The features, on the CPU.
    """
    if layout.storage == "patches":
        return VideoFeatures(
            spatial=tensors["patches"], pts_seconds=tensors["pts_seconds"]
        )
    whole = {name: tensors[name] for name in _OF_FRAMES if name in tensors}
    if layout.storage == "compact":
        whole |= _decode_all(tensors, layout)
    parts = {field: tensors[name] for name, field in _PROTOTYPES.items()}
    return VideoFeatures(**whole, prototypes=EventBatch(**parts))


def _decode_all(
    tensors: Mapping[str, Tensor], layout: IndexLayout
) -> dict[str, Tensor]:
    num_frames = len(tensors["pts_seconds"])
    sizes = {"spatial": layout.focus.num_spatial_tokens}
    if layout.num_patch_tokens:
        sizes["patches"] = layout.num_patch_tokens
    whole = {
        name: torch.empty((num_frames, size, layout.dim), dtype=layout.dtype)
        for name, size in sizes.items()
    }
    for start in range(0, num_frames, WINDOW_FRAMES):
        window = slice(start, start + WINDOW_FRAMES)
        whole["spatial"][window] = _decode_spatial(tensors, window, layout.focus)
        if "patches" in whole:
            whole["patches"][window] = _decode("patches", tensors, window)
    return whole


def _code(name: str, tokens: Tensor) -> dict[str, Tensor]:
    """Write tokens, ``[T, K, D]``, as whole numbers from -127 to 127 with two scales."""
    tiny = torch.finfo(torch.float32).tiny
    channels = tokens.abs().amax(dim=(0, 1)).float()  # [D]
    if not bool(torch.isfinite(channels).all()):
        raise ValueError(
            "the features hold numbers that are not finite, so a compact index cannot "
            "keep them; load the model with dtype bfloat16 or float32"
        )
    channels = channels.clamp(min=tiny)
    levels, scales = [], []
    for window in torch.split(tokens, WINDOW_FRAMES):
        relative = window.float() / channels
        scale = (relative.abs().amax(2) / _LEVELS).clamp(min=tiny)
        levels.append((relative / scale[..., None]).round().to(torch.int8))
        scales.append(scale)
    return {
        f"{name}_levels": torch.cat(levels),
        f"{name}_scales": torch.cat(scales),
        f"{name}_channels": channels,
    }


def _decode(name: str, tensors: Mapping[str, Tensor], window: slice) -> Tensor:
    """Give the tokens, ``[T, K, D]``, that `_code` wrote, in float32."""
    values = tensors[f"{name}_levels"][window].float()
    scales = tensors[f"{name}_scales"][window]
    return values.mul_(tensors[f"{name}_channels"]).mul_(scales[..., None])


def _decode_spatial(
    tensors: Mapping[str, Tensor], window: slice, settings: FocusSettings
) -> Tensor:
    """Give all layers of the spatial prototypes of some frames, ``[T, M, D]``."""
    layers = [_decode("spatial", tensors, window)]
    for layer, size in enumerate(settings.num_spatial_prototypes[1:], start=2):
        if f"layer_{layer}_clusters" in tensors:
            clusters = tensors[f"layer_{layer}_clusters"][window].long()[:, None]
            weights = tensors[f"layer_{layer}_weights"][window, None]
            is_member = clusters == torch.arange(size)[:, None]  # [T, M_s, M_below]
            layers.append(torch.bmm(weights * is_member, layers[-1]))
    return torch.cat(layers, dim=1)


def _describe_layers(first: Tensor, settings: FocusSettings) -> dict[str, Tensor]:
    """Tell of each layer after the first what it merges, from the first's tokens.

    Clustering is deterministic, so the layers are found again as they were encoded.
    """
    parts: dict[str, list[Tensor]] = {}
    sizes = settings.num_spatial_prototypes[1:]
    neighbors = settings.num_spatial_neighbors[1:]
    for tokens in torch.split(first, WINDOW_FRAMES):
        for layer, (size, near) in enumerate(zip(sizes, neighbors, strict=True), 2):
            clusters = cluster_points(
                tokens, size, near, settings.spatial_clustering
            ).in_point_order()
            shares = merge_weights(clusters, settings.spatial_merge)
            assignment = clusters.assignment.to(torch.int16)
            parts.setdefault(f"layer_{layer}_clusters", []).append(assignment)
            parts.setdefault(f"layer_{layer}_weights", []).append(shares.sum(1))
            tokens = merge_clusters(tokens, clusters, settings.spatial_merge)
    return {name: torch.cat(windows) for name, windows in parts.items()}
