"""What an index holds of a video, tensor by tensor: told before any frame is read.

Letters: T frames, P event tokens, M spatial prototypes (M_1, M_2, .. of its layers), N
patches (with the class token, beside prototypes), L event prototypes, D width, S bytes
of a picture.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import torch

from dynfocus.focus import FocusSettings
from dynfocus.index.video_index import PICTURE_BYTES

Storage = Literal["exact", "compact", "patches"]
FeatureStorage = Literal["exact", "compact"]
TensorSpec: TypeAlias = tuple[torch.dtype, tuple[int, ...]]

STORAGES: tuple[Storage, ...] = get_args(Storage)
FEATURE_STORAGES: tuple[FeatureStorage, ...] = get_args(FeatureStorage)
EXACT_BYTES_AN_HOUR = 100_000_000
"""Up to so many bytes an hour at one frame a second, tensors are kept as they are."""

_HOUR = 3600


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
