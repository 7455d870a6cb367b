"""Which tensor of the model comes from where, and whether all of them fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dynfocus.conversion.checkpoints import PublishedCheckpoint
from dynfocus.conversion.key_maps import (
    CONNECTOR,
    FINAL_NORM,
    LANGUAGE_MODEL,
    MIXING,
    PROJECTORS,
    QUERIES,
    READER_NORM,
    TEXT_ENCODER,
    TOWER,
    module_of,
)
from dynfocus.conversion.parts import Checkpoints, Part, check_state
from dynfocus.text import plural

_CROSSING = ".crossattention.attention."
"""Names of the Q-Former's projections whose width is that of the vision tower."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that a model is put together from."""

    tower: Part
    qformer: Part | None
    reader: Any
    """The language model."""
    reader_source: str
    tokenizer: Any
    question_tokenizer: Any
    connector: PublishedCheckpoint | None
    checkpoints: Checkpoints
    notes: tuple[str, ...]

    @property
    def qformer_checkpoint(self) -> PublishedCheckpoint | None:
        """The checkpoint that the Q-Former comes from."""
        if self.qformer is None:
            return None
        return self.checkpoints.published(self.qformer.source)

    @property
    def num_queries(self) -> int | None:
        """Learned queries that come with the Q-Former; None if it has none."""
        checkpoint = self.qformer_checkpoint
        if checkpoint is None or QUERIES not in checkpoint.tensors:
            return None
        return int(checkpoint.tensors[QUERIES].shape[1])


@dataclass
class Weights:
    """The weights of a model by name, and their sources."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, source: str, tensors: Mapping[str, Tensor]) -> None:
        """Add tensors of a source."""
        self.tensors |= tensors
        self.sources |= dict.fromkeys(tensors, source)

    def by_source(self) -> dict[str, tuple[str, ...]]:
        """List the names of each source."""
        names: dict[str, list[str]] = {}
        for name, source in self.sources.items():
            names.setdefault(source, []).append(name)
        return {source: tuple(found) for source, found in names.items()}


def collect_weights(parts: Parts, needed: Mapping[str, Tensor]) -> Weights:
    """Collect the weights of a model from its parts, strictly.

    Args:
        parts: The parts.
        needed: Every tensor of the model, of which the shape counts.

    Returns:
        Weights whose names and shapes are those of the model. What is absent has no
        source and is to be drawn.

    Raises:
        ValueError: A part is not whole or does not fit.
    """
    weights = Weights()
    _add_tower(weights, parts, needed)
    if parts.qformer is not None:
        _add_qformer(weights, parts.qformer, needed)
        _add_queries(weights, parts, needed)
        _add_reader_norm(weights, parts, needed)
    tied = set(getattr(parts.reader, "all_tied_weights_keys", {}))
    language = {
        LANGUAGE_MODEL + name: tensor
        for name, tensor in parts.reader.state_dict().items()
        if name not in tied
    }
    check_state(
        f"{parts.reader_source} does not fit as language model",
        language,
        _under(LANGUAGE_MODEL, needed),
    )
    weights.add(parts.reader_source, language)
    if parts.connector is not None:
        _add_connector(weights, parts.connector, needed)
    return weights


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t for name, t in tensors.items() if name.startswith(prefix)}


def _add_tower(weights: Weights, parts: Parts, needed: Mapping[str, Tensor]) -> None:
    """Add the vision tower; the norm after it is the one that the Q-Former learned with."""
    tower, qformer = parts.tower, parts.qformer
    source = tower.source
    published = parts.checkpoints.published(source)
    own = published.tensors if published is not None else tower.tensors
    wanted = _under(TOWER, needed)
    norm = _under(FINAL_NORM, wanted)
    if published is not None and not _under(FINAL_NORM, own):
        wanted = {name: t for name, t in wanted.items() if name not in norm}
    check_state(f"{source} does not fit as vision tower", own, wanted)
    weights.add(
        source, {name: t for name, t in tower.tensors.items() if name in wanted}
    )
    if published is None:
        return
    first = parts.qformer_checkpoint
    for checkpoint in (first, published):
        if checkpoint is not None and checkpoint.has(FINAL_NORM):
            origin = qformer.source if checkpoint is first and qformer else source
            found = checkpoint.take_all(FINAL_NORM)
            check_state(
                f"the norm of {origin} does not fit the vision tower", found, norm
            )
            weights.add(origin, found)
            return


def _add_qformer(weights: Weights, qformer: Part, needed: Mapping[str, Tensor]) -> None:
    wanted, tensors = _under(TEXT_ENCODER, needed), dict(qformer.tensors)
    crossing = [
        name
        for name, tensor in wanted.items()
        if _CROSSING in name and name in tensors and tensors[name].shape != tensor.shape
    ]
    if crossing:
        widths = tensors[crossing[0]].shape[1], wanted[crossing[0]].shape[1]
        weights.notes.append(
            f"the Q-Former of {qformer.source} looks at patches of width {widths[0]}, "
            f"those of the vision tower have {widths[1]}: {plural(len(crossing), 'tensor')} of its "
            "cross-attention start fresh"
        )
    for name in crossing:
        del tensors[name], wanted[name]
    check_state(f"{qformer.source} does not fit as Q-Former", tensors, wanted)
    weights.add(qformer.source, {n: t for n, t in tensors.items() if n in wanted})


def _add_queries(weights: Weights, parts: Parts, needed: Mapping[str, Tensor]) -> None:
    checkpoint = parts.qformer_checkpoint
    if checkpoint is None or QUERIES not in checkpoint.tensors:
        return
    if QUERIES not in needed:
        weights.notes.append(
            f"the queries of {checkpoint.source} are left out, since text_side "
            "is 'text' (the paper); choose 'frame_queries' to have them"
        )
        return
    found = checkpoint.take([QUERIES])
    check_state(
        f"the queries of {checkpoint.source} do not fit",
        found,
        {QUERIES: needed[QUERIES]},
    )
    weights.add(checkpoint.source, found)


def _add_reader_norm(
    weights: Weights, parts: Parts, needed: Mapping[str, Tensor]
) -> None:
    """Add the norm that the Q-Former learned with where a network has one before it."""
    checkpoint, wanted = parts.qformer_checkpoint, _under(READER_NORM, needed)
    if checkpoint is None or not wanted or not checkpoint.has(FINAL_NORM):
        return
    found = {
        name.replace(FINAL_NORM, READER_NORM): tensor
        for name, tensor in checkpoint.take_all(FINAL_NORM).items()
    }
    check_state(f"the norm of {checkpoint.source} does not fit", found, wanted)
    weights.add(checkpoint.source, found)


def _add_connector(
    weights: Weights, connector: PublishedCheckpoint, needed: Mapping[str, Tensor]
) -> None:
    """Add the projectors and, where the settings have them, score network and gate."""
    found = {
        name: tensor
        for name, tensor in connector.tensors.items()
        if name.startswith(CONNECTOR)
    }
    modules = {module_of(name) + "." for name in found}
    for module in sorted(modules):
        wanted = _under(module, needed)
        is_projector = module.startswith(PROJECTORS)
        if is_projector or any(name in found for name in wanted):
            check_state(
                f"{module[:-1]} of {connector.source} does not fit", found, wanted
            )
            weights.add(connector.source, connector.take(wanted))
    gates = MIXING + "gates"
    if gates in needed and MIXING + "high_projector." in modules:
        # what was trained without a gate was trained with an open one
        weights.add(
            connector.source, {gates: torch.ones_like(needed[gates], device="cpu")}
        )
