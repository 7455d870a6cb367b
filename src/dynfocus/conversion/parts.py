"""The parts of a model, each from its source: vision tower, Q-Former, language model.

Letters: D width of the vision tower.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    InstructBlipQFormerConfig,
    InstructBlipVisionConfig,
    InstructBlipVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from dynfocus.conversion.checkpoints import (
    LoadedCheckpoint,
    PublishedCheckpoint,
    is_llama_vid,
    read_config,
    refuse_misfits,
)
from dynfocus.conversion.key_maps import (
    FINAL_NORM,
    LANGUAGE_MODEL,
    TEXT_ENCODER,
    TOWER,
)

_INSTRUCTBLIP = ("instructblip", "instructblipvideo")
_LAYER = re.compile(r"\.layers?\.(\d+)\.")

Checkpoint = PublishedCheckpoint | LoadedCheckpoint


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the model with its weights."""

    config: Any
    """Its configuration."""
    tensors: dict[str, Tensor]
    """Its weights by their names in the whole model."""
    source: str
    """Where they come from."""


class Checkpoints:
    """The published checkpoints in use, each opened once."""

    def __init__(self) -> None:
        self.opened: dict[str, Checkpoint] = {}

    def published(self, source: str | Path) -> PublishedCheckpoint | None:
        """Open a source if it has a published layout; None if it is another model."""
        known = self.opened.get(str(source))
        if known is None:
            config = read_config(source)
            is_other = config and not (
                config.get("model_type") in _INSTRUCTBLIP or is_llama_vid(config)
            )
            if is_other:
                return None
            known = self.opened[str(source)] = PublishedCheckpoint(source)
        return known if isinstance(known, PublishedCheckpoint) else None

    def loaded(self, source: str | Path, *arguments: Any, **options: Any) -> Any:
        """Load a source with transformers and give the model."""
        checkpoint = LoadedCheckpoint(source, *arguments, **options)
        self.opened[str(source)] = checkpoint
        return checkpoint.model


def load_vision_tower(
    source: str | Path,
    dtype: torch.dtype,
    checkpoints: Checkpoints,
    num_left_out: int = 0,
) -> Part:
    """Load a vision tower.

    Args:
        source: InstructBLIP, an EVA file, LLaMA-VID, or any tower of transformers.
        dtype: Precision of the weights.
        checkpoints: The checkpoints in use.
        num_left_out: Layers at its end that are left out, since nothing reads them; a
            convolutional tower keeps all.

    Returns:
        The tower; of a published layout without the final norm.
    """
    published = checkpoints.published(source)
    if published is None:
        return _load_other_tower(source, dtype, checkpoints, num_left_out)
    if not published.has(TOWER + "embeddings."):
        raise ValueError(
            f"{source} holds no vision tower; give --vision-from the checkpoint that "
            "has it, such as eva_vit_g.pth, and this one as --qformer-from"
        )
    fields = read_config(source).get("vision_config")
    config = (
        InstructBlipVisionConfig.from_dict(fields)
        if fields
        else _tower_config(published.tensors)
    )
    config.num_hidden_layers -= num_left_out
    names = [
        name
        for name in published.tensors
        if name.startswith(TOWER)
        and not name.startswith(FINAL_NORM)
        and _layer_of(name) < config.num_hidden_layers
    ]
    tensors = published.take(names)
    return Part(config=config, tensors=tensors, source=str(source))


def load_qformer(source: str | Path, checkpoints: Checkpoints) -> Part | None:
    """Load a Q-Former with its queries and the norm before it.

    Args:
        source: InstructBLIP, LAVIS's trimmed file, or LLaMA-VID.
        checkpoints: The checkpoints in use.

    Returns:
        The Q-Former, or None if the source has none.
    """
    published = checkpoints.published(source)
    if published is None or not published.has(TEXT_ENCODER):
        return None
    fields = read_config(source).get("qformer_config")
    config = (
        InstructBlipQFormerConfig.from_dict(fields)
        if fields
        else _qformer_config(str(source), published.tensors)
    )
    tensors = published.take_all(TEXT_ENCODER)
    return Part(config=config, tensors=tensors, source=str(source))


def load_language_model(
    source: str | Path, dtype: torch.dtype, checkpoints: Checkpoints
) -> Any:
    """Load a causal language model.

    Args:
        source: Any causal language model of transformers, or LLaMA-VID.
        dtype: Precision of the weights.
        checkpoints: The checkpoints in use.

    Returns:
        The model.
    """
    fields = read_config(source)
    if not is_llama_vid(fields):
        return checkpoints.loaded(source, AutoModelForCausalLM, dtype)
    published = checkpoints.published(source)
    assert published is not None
    known = set(LlamaConfig().to_dict()) - {"model_type", "architectures", "dtype"}
    config = LlamaConfig(**{k: v for k, v in fields.items() if k in known})
    tensors = published.take_all(LANGUAGE_MODEL)
    state = {name.removeprefix(LANGUAGE_MODEL): t for name, t in tensors.items()}
    with torch.device("meta"):
        skeleton = LlamaForCausalLM(config)
    tied = skeleton.all_tied_weights_keys
    needed = {n: t for n, t in skeleton.state_dict().items() if n not in tied}
    check_state(f"{source} does not hold a whole Llama", state, needed)
    return LlamaForCausalLM.from_pretrained(
        None, config=config, state_dict=state, dtype=dtype
    )


def check_state(
    what: str, state: Mapping[str, Tensor], needed: Mapping[str, Tensor]
) -> None:
    """Refuse weights that do not fill what is needed exactly."""
    refuse_misfits(
        what,
        missing=[name for name in needed if name not in state],
        misfits={
            name: (tuple(state[name].shape), tuple(tensor.shape))
            for name, tensor in needed.items()
            if name in state and state[name].shape != tensor.shape
        },
    )


def _load_other_tower(
    source: str | Path,
    dtype: torch.dtype,
    checkpoints: Checkpoints,
    num_left_out: int,
) -> Part:
    fields = read_config(source)
    if fields.get("model_type") == InstructBlipVisionConfig.model_type:
        config: Any = InstructBlipVisionConfig.from_dict(fields)
        tower_class: Any = InstructBlipVisionModel
    else:
        whole = AutoConfig.from_pretrained(str(source))
        config, tower_class = getattr(whole, "vision_config", whole), AutoModel
    if not hasattr(config, "patch_size") or not hasattr(config, "image_size"):
        raise ValueError(
            f"{source} holds a model of type {fields.get('model_type')!r}, which has no "
            "vision tower for images of one size; give InstructBLIP, CLIP, SigLIP or a "
            "SigLIP 2 of fixed resolution"
        )
    if num_left_out and hasattr(config, "num_hidden_layers"):
        config.num_hidden_layers -= num_left_out
    tower = checkpoints.loaded(source, tower_class, dtype, config=config)
    tensors = {TOWER + name: tensor for name, tensor in tower.state_dict().items()}
    return Part(config=config, tensors=tensors, source=str(source))


def _layer_of(name: str) -> int:
    found = _LAYER.search(name)
    return int(found[1]) if found else -1


def _num_layers(tensors: Mapping[str, Tensor], prefix: str) -> int:
    return 1 + max(_layer_of(name) for name in tensors if name.startswith(prefix))


def _tower_config(tensors: Mapping[str, Tensor]) -> InstructBlipVisionConfig:
    """Read the sizes of an EVA tower off its tensors.

    EVA's file has 40 blocks; InstructBLIP and everything after it leave out the last.
    """
    patches = tensors.get(TOWER + "embeddings.patch_embedding.weight")
    places = tensors.get(TOWER + "embeddings.position_embedding")
    first = tensors.get(TOWER + "encoder.layers.0.mlp.fc1.weight")
    if patches is None or places is None or first is None:
        raise ValueError(
            "the vision tower lacks its patch embedding, its position embedding or its "
            "first block; give a whole eva_vit_g.pth"
        )
    side = math.isqrt(places.shape[1] - 1)
    most = InstructBlipVisionConfig().num_hidden_layers
    return InstructBlipVisionConfig(
        hidden_size=patches.shape[0],
        intermediate_size=first.shape[0],
        num_hidden_layers=min(most, _num_layers(tensors, TOWER)),
        patch_size=patches.shape[2],
        image_size=side * patches.shape[2],
    )


def _qformer_config(
    source: str, tensors: Mapping[str, Tensor]
) -> InstructBlipQFormerConfig:
    """Read the sizes of a Q-Former off its tensors."""
    needed = {
        "words": "embeddings.word_embeddings.weight",
        "places": "embeddings.position_embeddings.weight",
        "inner": "encoder.layer.0.intermediate.dense.weight",
        "keys": "encoder.layer.0.crossattention.attention.key.weight",
    }
    found = {key: tensors.get(TEXT_ENCODER + name) for key, name in needed.items()}
    missing = [needed[key] for key, tensor in found.items() if tensor is None]
    refuse_misfits(f"{source} does not hold a Q-Former that reads text", missing, {})
    shapes = {key: tensor.shape for key, tensor in found.items() if tensor is not None}
    crossing = sorted({_layer_of(n) for n in tensors if ".crossattention." in n})
    num_layers = _num_layers(tensors, TEXT_ENCODER)
    return InstructBlipQFormerConfig(
        vocab_size=shapes["words"][0],
        hidden_size=shapes["words"][1],
        num_hidden_layers=num_layers,
        intermediate_size=shapes["inner"][0],
        max_position_embeddings=shapes["places"][0],
        encoder_hidden_size=shapes["keys"][1],
        cross_attention_frequency=crossing[1] if len(crossing) > 1 else num_layers,
    )


def make_room(reader: Any, num_words: int) -> tuple[str, ...]:
    """Give a language model rows for all words of its tokenizer.

    Args:
        reader: The language model.
        num_words: Words of the tokenizer, the placeholder among them.

    Returns:
        A note if rows were added. They are the mean of the others.
    """
    num_rows = int(reader.get_input_embeddings().weight.shape[0])
    if num_words <= num_rows:
        return ()
    reader.resize_token_embeddings(num_words, mean_resizing=False)
    modules = (reader.get_input_embeddings(), reader.get_output_embeddings())
    with torch.no_grad():
        for module in modules:
            if module is not None:
                rows = module.weight
                rows[num_rows:] = rows[:num_rows].mean(0, dtype=torch.float32)
    return (
        f"the vocabulary of the language model grew from {num_rows} to {num_words} "
        "rows, the new ones are the mean of the others",
    )


def extend_context(reader: Any, length: int) -> tuple[str, ...]:
    """Let a language model read more tokens: its positions stand closer together.

    Args:
        reader: The language model.
        length: Tokens that it shall read.

    Returns:
        A note.

    Raises:
        ValueError: It reads as many already, or its positions are not plain rotations.
    """
    config = reader.config
    own, rope = config.max_position_embeddings, config.rope_parameters or {}
    if length <= own:
        raise ValueError(
            f"context_length must be above the {own} tokens that the language model "
            f"reads, got {length}; leave it out"
        )
    if rope.get("rope_type") != "default":
        raise ValueError(
            "context_length needs a language model with plain rotary positions, got "
            f"rope_parameters {rope}; leave it out and use fewer frames"
        )
    config.rope_parameters = {**rope, "rope_type": "linear", "factor": length / own}
    config.max_position_embeddings = length
    return (
        f"the language model reads {length} tokens in place of {own}, by linear scaling "
        "of its positions, which it has to be trained for",
    )
