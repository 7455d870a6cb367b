"""Checkpoints that parts are taken from, and what nobody took.

Tensors are mapped from their files by name and never unpickled.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedConfig

from dynfocus.conversion.key_maps import join_biases, rename
from dynfocus.defaults import check_reachable
from dynfocus.errors import DownloadError
from dynfocus.text import plural

_LLAMA_VID_FIELDS = ("mm_vision_tower", "mm_projector_type", "bert_type")
_SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
_WRAPPERS = ("model", "state_dict", "module")
"""Entries under which trainers of this field keep the tensors."""


class PublishedCheckpoint:
    """A checkpoint in one of the published layouts, by the names of this project.

    Args:
        source: A file, folder or hub id.
    """

    def __init__(self, source: str | Path) -> None:
        files = read_tensors(source, lambda name: rename(name) is not None)
        self.source = str(source)
        self._names = files.names
        self._used: set[str] = set()
        renamed: dict[str, Tensor] = {}
        origins: dict[str, list[str]] = {}
        for name, tensor in files.tensors.items():
            own = rename(name)
            assert own is not None
            if own in renamed:
                raise ValueError(
                    f"{source} holds {own} twice, as {origins[own][0]} and as {name}; "
                    "give a checkpoint that holds each part once"
                )
            renamed[own] = tensor
            origins[own] = [name]
        self.tensors = join_biases(renamed)
        self._origins = {
            name: [
                origin
                for part in _joined_from(name, origins)
                for origin in origins[part]
            ]
            for name in self.tensors
        }

    def has(self, prefix: str) -> bool:
        """Tell whether it holds anything whose name starts so."""
        return any(name.startswith(prefix) for name in self.tensors)

    def take(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Give some tensors, which then count as used."""
        wanted = {name: self.tensors[name] for name in names}
        self._used.update(origin for name in wanted for origin in self._origins[name])
        return wanted

    def take_all(self, prefix: str) -> dict[str, Tensor]:
        """Give all tensors whose names start so, which then count as used."""
        return self.take([name for name in self.tensors if name.startswith(prefix)])

    @property
    def unused(self) -> tuple[str, ...]:
        """Names in the file that nobody took, in its order."""
        return tuple(name for name in self._names if name not in self._used)


def _joined_from(name: str, origins: Mapping[str, Any]) -> list[str]:
    if name in origins:
        return [name]
    stem = name.removesuffix("qkv.bias")
    return [f"{stem}q_bias", f"{stem}v_bias"]


class LoadedCheckpoint:
    """A model that transformers loaded, and what it left in the files.

    Args:
        source: The folder or hub id.
        model_class: What loads it.
        dtype: Precision of the weights.
        **options: What ``from_pretrained`` takes besides.
    """

    def __init__(
        self, source: str | Path, model_class: Any, dtype: torch.dtype, **options: Any
    ) -> None:
        self.source = str(source)
        try:
            self.model, info = model_class.from_pretrained(
                str(source),
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, all of them
                **options,
            )
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{source} cannot be loaded as {model_class.__name__} "
                f"({reason_of(error)}); give a folder that save_pretrained wrote, or a hub id"
            ) from error
        refuse_misfits(
            f"{source} does not hold a whole {type(self.model).__name__}",
            missing=info["missing_keys"],
            misfits={name: (got, need) for name, got, need in info["mismatched_keys"]},
        )
        self.unused = _unused_names(self.source, self.model, info["unexpected_keys"])


def _unused_names(
    source: str, model: nn.Module, unexpected: Iterable[str]
) -> tuple[str, ...]:
    """List the names in the files that a model did not take.

    What transformers reports leaves out what each class ignores on purpose, such as
    the text half of CLIP, so the names of the files are compared with the model's.
    """
    names = read_tensors(source, lambda name: False).names
    own = list(model.state_dict())
    present, best = set(names), set[str]()
    for probe in own[:1]:
        for name in names:
            if name == probe or name.endswith(f".{probe}"):
                prefix = name.removesuffix(probe)
                found = {f"{prefix}{n}" for n in own if f"{prefix}{n}" in present}
                best = max(best, found, key=len)
    tied = getattr(model, "all_tied_weights_keys", {})
    if len(best) < len(set(own) - set(tied)):  # transformers converted the names
        return tuple(sorted(unexpected))
    return tuple(name for name in names if name not in best)


def refuse_misfits(
    what: str, missing: Iterable[str], misfits: Mapping[str, tuple[Any, Any]]
) -> None:
    """Refuse a checkpoint that lacks tensors or has them in other shapes.

    Args:
        what: What is wrong, up to the list.
        missing: Names that are not there.
        misfits: Shape that is there and shape that is needed, by name.
    """
    missing = sorted(missing)
    problems = []
    if missing:
        shown = ", ".join(missing[:3]) + (", .." if len(missing) > 3 else "")
        problems.append(f"{plural(len(missing), 'tensor')} missing ({shown})")
    if misfits:
        pairs = [
            f"{name} is {list(got)} and must be {list(need)}"
            for name, (got, need) in sorted(misfits.items())[:3]
        ]
        spare = ", .." if len(misfits) > 3 else ""
        problems.append(
            f"{len(misfits)} have another shape ({', '.join(pairs)}{spare})"
        )
    if problems:
        raise ValueError(f"{what}: {'; '.join(problems)}; give another checkpoint")


def read_config(source: str | Path) -> dict[str, Any]:
    """Read the ``config.json`` of a folder or hub repository; a file has none."""
    if Path(source).is_file():
        return {}
    try:
        check_reachable(source)
    except DownloadError as error:
        raise DownloadError(
            f"there is no file or folder {source}, and {error}"
        ) from error
    try:
        config: dict[str, Any] = PreTrainedConfig.get_config_dict(str(source))[0]
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{source} is neither a file, nor a folder with a config.json, nor a model "
            f"that the hub gives ({reason_of(error)}); check the spelling"
        ) from error
    if not config:
        raise ValueError(
            f"{source} has no config.json; give a checkpoint's file, folder or hub id"
        )
    return config


def is_llama_vid(config: Mapping[str, Any]) -> bool:
    """Tell whether a configuration is one of LLaMA-VID or its descendants."""
    return any(name in config for name in _LLAMA_VID_FIELDS)


def reason_of(error: Exception) -> str:
    """Say in a short line why something could not be loaded."""
    text = " ".join(str(error).split())
    return text[:160].rstrip(" .:") if text else type(error).__name__


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
            f"{index} names {plural(len(absent), 'tensor')} that its files do not hold "
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
