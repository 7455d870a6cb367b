"""The tensors of a checkpoint by name, mapped from its files and never unpickled."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dynfocus.defaults import check_reachable

_SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
_WRAPPERS = ("model", "state_dict", "module")
"""Entries under which trainers of this field keep the tensors."""


@dataclass(frozen=True)
class TensorFiles:
    """The tensors of one checkpoint, some of them read."""

    source: str
    """The file, folder or hub id that they come from."""
    names: tuple[str, ...]
    """Names of all tensors in the checkpoint."""
    tensors: dict[str, Tensor]
    """The tensors that were wanted; they stay in the files until they are used."""


def read_tensors(
    source: str | Path, is_wanted: Callable[[str], bool] = lambda name: True
) -> TensorFiles:
    """Open a checkpoint.

    Args:
        source: A ``.safetensors``, ``.pth``, ``.pt`` or ``.bin`` file, a folder that
            holds one or several with an index, or a hub id.
        is_wanted: Tells by name whether a tensor is to be read. Of a checkpoint in
            several files, those without a wanted tensor are not opened.

    Returns:
        All names and the wanted tensors.
    """
    if Path(source).is_file():
        return _of_one_file(str(source), Path(source), is_wanted)
    for name in _SINGLE_FILES:
        file = find_file(source, name)
        if file is not None:
            return _of_one_file(str(source), file, is_wanted)
        index = find_file(source, f"{name}.index.json")
        if index is not None:
            return _of_index(str(source), index, is_wanted)
    raise ValueError(
        f"{source} holds no weights ({' or '.join(_SINGLE_FILES)}, whole or with an "
        "index); give a checkpoint's file, folder or hub id"
    )


def find_file(source: str | Path, name: str) -> Path | None:
    """Find a file of a folder or a hub repository.

    Args:
        source: The folder or hub id.
        name: Name of the file.

    Returns:
        Where it lies on this machine, or None if it is not there.
    """
    if Path(source).is_dir():
        path = Path(source, name)
        return path if path.is_file() else None
    check_reachable(source)
    try:
        return Path(hf_hub_download(str(source), name))
    except (EntryNotFoundError, HFValidationError):
        return None


def _of_one_file(
    source: str, file: Path, is_wanted: Callable[[str], bool]
) -> TensorFiles:
    tensors = _load(file)
    wanted = {name: tensor for name, tensor in tensors.items() if is_wanted(name)}
    return TensorFiles(source, tuple(tensors), wanted)


def _of_index(
    source: str, index: Path, is_wanted: Callable[[str], bool]
) -> TensorFiles:
    places: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    wanted = {name for name in places if is_wanted(name)}
    tensors: dict[str, Tensor] = {}
    for name in sorted({places[tensor] for tensor in wanted}):
        shard = find_file(source, name)
        if shard is None:
            raise ValueError(
                f"{index} names {name}, which is not there; fetch the checkpoint again"
            )
        tensors |= {k: v for k, v in _load(shard).items() if k in wanted}
    absent = sorted(wanted - set(tensors))
    if absent:
        raise ValueError(
            f"{len(absent)} tensors that {index} names are in none of its files "
            f"({absent[0]}); fetch the checkpoint again"
        )
    return TensorFiles(source, tuple(places), tensors)


def _load(file: Path) -> dict[str, Tensor]:
    """Map the tensors of one file."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        document = torch.load(
            file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file)
        )
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{file} cannot be read as tensors alone ({_first_line(error)}); give a "
            "whole file that holds nothing but weights"
        ) from error
    return _unwrap(file, document)


def _unwrap(file: Path, document: Any) -> dict[str, Tensor]:
    while isinstance(document, dict):
        tensors = {k: v for k, v in document.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
        inner = [document[name] for name in _WRAPPERS if name in document]
        document = inner[0] if inner else None
    raise ValueError(
        f"{file} holds no tensors by name; give a checkpoint, not "
        f"a {type(document).__name__}"
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(" .:") if text else type(error).__name__
