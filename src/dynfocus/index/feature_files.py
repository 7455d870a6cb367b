"""Video features on disk: one safetensors file, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dynfocus.focus import TimePrototypes
from dynfocus.index.features import VideoFeatures

_FORMAT = "dynfocus-video-features"
_VERSION = "1"
_REQUIRED = frozenset({"pooled", "spatial", "pts_seconds"})
_PROTOTYPES = {
    "prototype_features": "features",
    "prototype_frames": "frames",
    "prototype_mask": "mask",
    "prototype_assignment": "assignment",
}
_OPTIONAL = frozenset({"patches", *_PROTOTYPES})


def save_features(features: VideoFeatures, path: str | Path) -> None:
    """Write features to a file; an interrupted write leaves no file of that name.

    Args:
        features: What to write, on any device.
        path: The file, by custom ending in ``.safetensors``; replaced if it exists.
    """
    path = Path(path)
    tensors: dict[str, Tensor] = {
        "pooled": features.pooled,
        "spatial": features.spatial,
        "pts_seconds": features.pts_seconds,
    }
    if features.patches is not None:
        tensors["patches"] = features.patches
    if features.prototypes is not None:
        for name, field in _PROTOTYPES.items():
            tensors[name] = getattr(features.prototypes, field)
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in tensors.items()
    }
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, part, metadata={"format": _FORMAT, "version": _VERSION})
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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
        return VideoFeatures(**_with_prototypes(tensors))
    except ValueError as error:
        raise ValueError(f"{path}: {error}; index the video again") from error


def _with_prototypes(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Gather the tensors of the prototypes, all of them or none."""
    found = [name for name in _PROTOTYPES if name in tensors]
    if not found:
        return dict(tensors)
    if len(found) < len(_PROTOTYPES):
        raise ValueError(
            f"holds only {', '.join(found)} of {', '.join(_PROTOTYPES)}, all are needed"
        )
    parts = {field: tensors[name] for name, field in _PROTOTYPES.items()}
    rest = {name: t for name, t in tensors.items() if name not in _PROTOTYPES}
    return {**rest, "prototypes": TimePrototypes(**parts)}


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
