"""What an index holds of a video, tensor by tensor: told before any frame is read.

Letters: T frames, P event tokens, M spatial prototypes (M_1, M_2, .. of its layers), N
patches with the class token, L event prototypes, D width, S bytes of a picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import torch

from dynfocus.focus import FocusSettings
from dynfocus.index.pictures import PICTURE_BYTES

Storage = Literal["exact", "compact"]
TensorSpec: TypeAlias = tuple[torch.dtype, tuple[int, ...]]

STORAGES: tuple[Storage, ...] = get_args(Storage)
EXACT_BYTES_AN_HOUR = 100_000_000
"""Up to so many bytes an hour at one frame a second, tensors are kept as they are."""

_HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class IndexLayout:
    """Know the shape and precision of every tensor in the index of a video.

    ``exact`` keeps all tensors as they were computed. ``compact`` keeps the event
    prototypes and the times as they are, the first layer of the spatial prototypes as
    whole numbers of 8 bits with a scale a token and a scale a channel, of each further
    layer which tokens it merges with which weights, and no pooled frames.
    """

    settings: FocusSettings
    """The settings of the network that encodes."""
    dim: int
    """Width of the features, ``D``."""
    num_patch_tokens: int = 0
    """Patches kept of each frame, with the class token; 0 for a model whose text side
    reads the question alone."""
    dtype: torch.dtype = torch.float32
    """Precision in which features are computed."""

    @property
    def storage(self) -> Storage:
        """Choose how to store: as it is, if an hour then takes at most 100 MB.

        Every number counts as four bytes here, so that the choice depends on the
        model's configuration alone.
        """
        single = replace(self, dtype=torch.float32)
        is_small = single.num_bytes(_HOUR, "exact") <= EXACT_BYTES_AN_HOUR
        return "exact" if is_small else "compact"

    @property
    def storages(self) -> tuple[Storage, ...]:
        """Give both storages, the chosen one first."""
        return tuple(sorted(STORAGES, key=lambda storage: storage != self.storage))

    @property
    def num_coded_tokens(self) -> int:
        """Spatial prototypes of a frame that a compact index keeps itself.

        The first layer; the others are rebuilt from it unless a gate has scaled them.
        """
        if self.settings.spatial_gate:
            return self.settings.num_spatial_tokens
        return self.settings.num_spatial_prototypes[0]

    def tensors(self, num_frames: int, storage: Storage) -> dict[str, TensorSpec]:
        """List the tensors of a video: precision and shape by name.

        Args:
            num_frames: Its frames, ``T``.
            storage: ``"exact"`` or ``"compact"``.
        """
        T, D, P = num_frames, self.dim, self.settings.num_event_tokens
        L = self.settings.num_prototypes_for(T)
        specs: dict[str, TensorSpec] = {
            "pts_seconds": (torch.float64, (T,)),
            "prototype_features": (self.dtype, (1, L, P, D)),
            "prototype_frames": (torch.int64, (1, L)),
            "prototype_mask": (torch.bool, (1, L)),
            "prototype_assignment": (torch.int64, (1, T)),
            "pictures": (torch.uint8, (T, PICTURE_BYTES)),
        }
        N, M = self.num_patch_tokens, self.settings.num_spatial_tokens
        if storage == "exact":
            specs["pooled"] = (self.dtype, (T, P, D))
            specs["spatial"] = (self.dtype, (T, M, D))
            if N:
                specs["patches"] = (self.dtype, (T, N, D))
            return specs
        specs |= _coded("spatial", T, self.num_coded_tokens, D)
        if N:
            specs |= _coded("patches", T, N, D)
        if not self.settings.spatial_gate:
            layers = self.settings.num_spatial_prototypes[:-1]
            for layer, size in enumerate(layers, start=2):
                specs[f"layer_{layer}_clusters"] = (torch.int16, (T, size))
                specs[f"layer_{layer}_weights"] = (torch.float32, (T, size))
        return specs

    def num_bytes(self, num_frames: int, storage: Storage | None = None) -> int:
        """Tell the size of an index file without its header of a few kilobytes.

        Args:
            num_frames: Frames that are sampled.
            storage: ``"exact"`` or ``"compact"``; by default what the model gets.
        """
        specs = self.tensors(num_frames, check_storage(storage) or self.storage)
        return sum(dtype.itemsize * math.prod(shape) for dtype, shape in specs.values())


def check_storage(storage: str | None) -> Storage | None:
    """Refuse a storage that is none."""
    for known in STORAGES:
        if storage == known:
            return known
    if storage is not None:
        raise ValueError(
            f"storage must be {' or '.join(map(repr, STORAGES))}, got {storage!r}; "
            "leave it out for the model's own"
        )
    return None


def _coded(name: str, T: int, num_tokens: int, D: int) -> dict[str, TensorSpec]:
    return {
        f"{name}_levels": (torch.int8, (T, num_tokens, D)),
        f"{name}_scales": (torch.float32, (T, num_tokens)),
        f"{name}_channels": (torch.float32, (D,)),
    }
