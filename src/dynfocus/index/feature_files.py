"""Video features on disk: one safetensors file, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dynfocus.focus import TimePrototypes
from dynfocus.focus.features import VideoFeatures
from dynfocus.index.entries import write_tensors

_FORMAT = "dynfocus-video-features"
_VERSION = "1"
_REQUIRED = frozenset({"spatial", "pts_seconds"})
PROTOTYPES = {
    "prototype_features": "features",
    "prototype_frames": "frames",
    "prototype_mask": "mask",
    "prototype_assignment": "assignment",
}
"""The fields of `TimePrototypes` by the names of their tensors."""

_OPTIONAL = frozenset({"pooled", "patches", *PROTOTYPES})


def save_features(features: VideoFeatures, path: str | Path) -> None:
    """Write features to a file; an interrupted write leaves no file of that name.

    Args:
        features: What to write, on any device.
        path: The file, by custom ending in ``.safetensors``; replaced if it exists.
    """
    header = {"format": _FORMAT, "version": _VERSION}
    write_tensors(path, feature_tensors(features), header)


def feature_tensors(features: VideoFeatures) -> dict[str, Tensor]:
    """Give the tensors of features by name, those of the prototypes among them."""
    tensors = {"spatial": features.spatial, "pts_seconds": features.pts_seconds}
    if features.pooled is not None:
        tensors["pooled"] = features.pooled
    if features.patches is not None:
        tensors["patches"] = features.patches
    if features.prototypes is not None:
        for name, field in PROTOTYPES.items():
            tensors[name] = getattr(features.prototypes, field)
    return tensors


def load_features(path: str | Path, device: str = "cpu") -> VideoFeatures:
    """Read features that `save_features` wrote, and check them.

    Args:
        path: The file.
        device: Where the tensors go.

    Returns:
        The features, equal to those written.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, or of another kind or version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not a file of video features; index the video first"
        )
    try:
        with safe_open(path, framework="pt", device=device) as file:
            _check_header(path, file.metadata(), set(file.keys()))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 safe_open is no dict
    except SafetensorError as error:
        raise ValueError(
            f"{path} is damaged ({error}); delete it and index the video again"
        ) from error
    if tensors["pts_seconds"].dtype != torch.float64:
        raise ValueError(
            f"{path} holds times as {tensors['pts_seconds'].dtype}, expected "
            "torch.float64; index the video again"
        )
    try:
        return build_features(tensors)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; index the video again") from error


def build_features(tensors: dict[str, Tensor]) -> VideoFeatures:
    """Put features together from what `feature_tensors` gave."""
    found = [name for name in PROTOTYPES if name in tensors]
    if found and len(found) < len(PROTOTYPES):
        raise ValueError(
            f"holds only {', '.join(found)} of {', '.join(PROTOTYPES)}, all are needed"
        )
    parts: dict[str, Any] = {
        name: tensor for name, tensor in tensors.items() if name not in PROTOTYPES
    }
    if found:
        fields = {field: tensors[name] for name, field in PROTOTYPES.items()}
        parts["prototypes"] = TimePrototypes(**fields)
    return VideoFeatures(**parts)


def _check_header(path: Path, metadata: dict[str, str] | None, names: set[str]) -> None:
    found = metadata or {}
    if found.get("format") != _FORMAT or found.get("version") != _VERSION:
        raise ValueError(
            f"{path} is not a file of video features in version {_VERSION} (found "
            f"{found.get('format')!r}, version {found.get('version')!r}); index the "
            "video again"
        )
    if not _REQUIRED <= names <= _REQUIRED | _OPTIONAL:
        raise ValueError(
            f"{path} holds {sorted(names)}, expected {sorted(_REQUIRED)} and possibly "
            f"{sorted(_OPTIONAL)}; index the video again"
        )
