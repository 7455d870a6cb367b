"""What an index holds of a video, tensor by tensor: told before any frame is read.

Features become these tensors, and come back.

Letters: T frames, P event tokens, M spatial prototypes (M_1, M_2, .. of its layers), N
patches (with the class token, beside prototypes), L event prototypes, D width, S bytes
of a picture, K tokens of a frame, M_s spatial prototypes of a layer.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from dynfocus.focus import EventBatch, FocusSettings, merge_clusters, merge_weights
from dynfocus.focus.features import WINDOW_FRAMES, VideoFeatures
from dynfocus.focus.official import cluster_points
from dynfocus.index.video_index import PICTURE_BYTES

Storage = Literal["exact", "compact", "patches"]
FeatureStorage = Literal["exact", "compact"]
TensorSpec: TypeAlias = tuple[torch.dtype, tuple[int, ...]]

FEATURE_STORAGES: tuple[FeatureStorage, ...] = get_args(FeatureStorage)
EXACT_BYTES_AN_HOUR = 100_000_000
"""Up to so many bytes an hour at one frame a second, tensors are kept as they are."""

_HOUR = 3600
_LEVELS = 127
_OF_FRAMES = ("pts_seconds", "spatial", "pooled", "patches")
_PROTOTYPES = {
    "prototype_features": "features",
    "prototype_frames": "frames",
    "prototype_mask": "mask",
    "prototype_assignment": "assignment",
}
"""The fields of `EventBatch` by the names of their tensors."""


@dataclass(frozen=True, kw_only=True)
class IndexLayout:
    """Know the shape and precision of every tensor in the index of a video.

    ``exact`` keeps all tensors as they were computed. ``compact`` keeps the event
    prototypes and the times as they are, the first layer of the spatial prototypes as
    whole numbers of 8 bits with a scale a token and a scale a channel, of each further
    layer which tokens it merges with which weights, and no pooled frames. ``patches``
    keeps what the vision tower gave, and nothing that was made of it.
    """

    storage: Storage = "exact"
    settings: FocusSettings | None = None
    """The settings of the network that encodes; patches need none."""
    dim: int
    """Width of the features, ``D``."""
    num_patch_tokens: int = 0
    """Patches kept of each frame; 0 for a model whose text side reads the question
    alone."""
    dtype: torch.dtype = torch.float32
    """Precision in which features are kept."""
    has_pictures: bool = True
    """Whether small pictures of the frames are kept beside them."""

    @property
    def name(self) -> str:
        """Tell layouts apart: the storage, and a digest of all that is kept."""
        kept = repr(self.tensors(_HOUR)).encode()
        return f"{self.storage}-{hashlib.blake2b(kept, digest_size=4).hexdigest()}"

    def offered(self, storage: str | None = None) -> tuple[IndexLayout, ...]:
        """Give this layout in a storage, or in both for features, the best one first.

        The best is exact if an hour then takes at most 100 MB. Every number counts as
        four bytes here, so that the choice depends on the model's configuration alone.

        Args:
            storage: ``"exact"`` or ``"compact"``; by default both.

        Raises:
            ValueError: The storage is none of them.
        """
        known = FEATURE_STORAGES if storage is None else (check_storage(storage),)
        single = replace(self, storage="exact", dtype=torch.float32)
        is_small = single.num_bytes(_HOUR) <= EXACT_BYTES_AN_HOUR
        best = "exact" if is_small else "compact"
        return tuple(
            replace(self, storage=each) for each in sorted(known, key=best.__ne__)
        )

    @property
    def focus(self) -> FocusSettings:
        """The settings, where there are some."""
        assert self.settings is not None  # all but patches have them
        return self.settings

    @property
    def num_coded_tokens(self) -> int:
        """Spatial prototypes of a frame that a compact index keeps itself.

        The first layer; the others are rebuilt from it unless a gate has scaled them.
        """
        if self.focus.spatial_gate:
            return self.focus.num_spatial_tokens
        return self.focus.num_spatial_prototypes[0]

    def tensors(self, num_frames: int) -> dict[str, TensorSpec]:
        """List the tensors of a video of so many frames: precision and shape by name."""
        T, D, N = num_frames, self.dim, self.num_patch_tokens
        specs: dict[str, TensorSpec] = {"pts_seconds": (torch.float64, (T,))}
        if self.has_pictures:
            specs["pictures"] = (torch.uint8, (T, PICTURE_BYTES))
        if N and self.storage != "compact":
            specs["patches"] = (self.dtype, (T, N, D))
        if self.storage == "patches":
            return specs
        P, L = self.focus.num_event_tokens, self.focus.num_prototypes_for(T)
        specs |= {
            "prototype_features": (self.dtype, (1, L, P, D)),
            "prototype_frames": (torch.int64, (1, L)),
            "prototype_mask": (torch.bool, (1, L)),
            "prototype_assignment": (torch.int64, (1, T)),
        }
        if self.storage == "exact":
            specs["pooled"] = (self.dtype, (T, P, D))
            specs["spatial"] = (self.dtype, (T, self.focus.num_spatial_tokens, D))
            return specs
        specs |= _coded("spatial", T, self.num_coded_tokens, D)
        if N:
            specs |= _coded("patches", T, N, D)
        if not self.focus.spatial_gate:
            layers = self.focus.num_spatial_prototypes[:-1]
            for layer, size in enumerate(layers, start=2):
                specs[f"layer_{layer}_clusters"] = (torch.int16, (T, size))
                specs[f"layer_{layer}_weights"] = (torch.float32, (T, size))
        return specs

    def num_bytes(self, num_frames: int) -> int:
        """Tell the size of an index file without its header of a few kilobytes."""
        specs = self.tensors(num_frames).values()
        return sum(dtype.itemsize * math.prod(shape) for dtype, shape in specs)


def check_storage(storage: str) -> FeatureStorage:
    """Refuse a storage of features that is none."""
    for known in FEATURE_STORAGES:
        if storage == known:
            return known
    raise ValueError(
        f"storage must be {' or '.join(map(repr, FEATURE_STORAGES))}, got {storage!r}; "
        "leave it out for the model's own"
    )


def _coded(name: str, T: int, num_tokens: int, D: int) -> dict[str, TensorSpec]:
    return {
        f"{name}_levels": (torch.int8, (T, num_tokens, D)),
        f"{name}_scales": (torch.float32, (T, num_tokens)),
        f"{name}_channels": (torch.float32, (D,)),
    }


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
    whole: dict[str, Any] = {n: tensors[n] for n in _OF_FRAMES if n in tensors}
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
