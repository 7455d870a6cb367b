"""Checkpoints that parts are taken from, and what nobody took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from dynfocus.conversion.key_maps import join_biases, rename
from dynfocus.conversion.tensor_files import read_tensors
from dynfocus.defaults import check_reachable

_LLAMA_VID_FIELDS = ("mm_vision_tower", "mm_projector_type", "bert_type")


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
                f"({_line(error)}); give a folder that save_pretrained wrote, or a hub id"
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
        problems.append(f"{len(missing)} tensors are missing ({shown})")
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
        config: dict[str, Any] = PreTrainedConfig.get_config_dict(str(source))[0]
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{source} is neither a file, nor a folder with a config.json, nor a model "
            f"that the hub gives ({_line(error)}); check the spelling"
        ) from error
    if not config:
        raise ValueError(
            f"{source} has no config.json; give a checkpoint's file, folder or hub id"
        )
    return config


def is_llama_vid(config: Mapping[str, Any]) -> bool:
    """Tell whether a configuration is one of LLaMA-VID or its descendants."""
    return any(name in config for name in _LLAMA_VID_FIELDS)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:160].rstrip(" .:") if text else type(error).__name__
