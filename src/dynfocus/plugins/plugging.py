"""Vision language models plugged: loaded, matched with a family, within a budget."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from dynfocus.defaults import OWN_TYPES, locate, model_type
from dynfocus.focus.tokens import ConeTokens
from dynfocus.methods import FrameScorer, load_scorer
from dynfocus.models.loading import (
    LOADING_ERRORS,
    place_model,
    unloadable,
)
from dynfocus.models.options import LoadOptions
from dynfocus.models.video_model import VideoModel
from dynfocus.plugins.families import family_of
from dynfocus.plugins.family import Family
from dynfocus.plugins.host_backbone import HostBackbone
from dynfocus.plugins.host_processor import HostProcessor
from dynfocus.plugins.host_scorer import HOST, HostScorer

DEFAULT_BUDGET = 2048


def plug(
    model: Any,
    processor: Any,
    *,
    method: str = "dynfocus",
    max_video_tokens: int = DEFAULT_BUDGET,
    scorer: str | Path | FrameScorer | None = None,
    cone_tokens: ConeTokens = None,
    use_timestamps: bool = False,
    name: str | None = None,
) -> VideoModel:
    """Put DynFocus in front of the language model of a vision language model.

    Nothing is trained, and the model is not changed.

    Args:
        model: What ``AutoModelForImageTextToText`` gives, of a supported family.
        processor: What ``AutoProcessor`` gives for it.
        method: One of `dynfocus.methods.SELECTORS`: ``"dynfocus"`` for Cones and Rods;
            whole frames chosen by ``"aks"``, ``"bolt"`` or ``"ranked"``, which need a
            scorer, by ``"events"``, or evenly by ``"uniform"``; ``"none"`` for all frames
            whole.
        max_video_tokens: The budget; see `HostBudget` for how it is shared.
        scorer: A dual encoder such as CLIP or SigLIP, by name or folder, that tells
            which frames belong to the question; ``"host"`` for the attention of the
            model itself; without one the question has no say.
        cone_tokens: Tokens of a Cone, ``"whole"``, or by default a quarter of a frame's.
        use_timestamps: Write the time of each frame, or pair of frames, behind it, where
            the model is not told the times anyway (the injection of DATE, 2025).
        name: What the model is called in messages.

    Returns:
        The model, ready to answer.

    Raises:
        ValueError: The model's family is not supported, or the processor is another's.
    """
    family = find_family(model, processor)
    is_own = scorer == HOST
    backbone = HostBackbone(
        family,
        method=method,
        max_video_tokens=max_video_tokens,
        scorer=HostScorer(family) if is_own else load_scorer(scorer),
        cone_tokens=cone_tokens,
        use_timestamps=use_timestamps,
        name=name or getattr(model, "name_or_path", "") or family.model_types[0],
    )
    return VideoModel(backbone)


def host_type(name: str | Path) -> str | None:
    """Read the ``model_type`` of a model that is not one of the project's own.

    Args:
        name: ``"nano"``, a folder, or a hub id.

    Returns:
        The type, or None for the project's own and for what is no model at all.
    """
    kind = model_type(name)
    return None if kind in OWN_TYPES else kind


def load_host(name: str | Path, options: LoadOptions | None = None) -> VideoModel:
    """Load a vision language model and plug it.

    Args:
        name: A folder or a hub id.
        options: Where it goes, in which precision, and the scorer.

    Raises:
        ValueError: The family is not supported, or the model is not there or not whole.
    """
    options = options or LoadOptions()
    if options.storage is not None or options.index_folder:
        raise ValueError(
            f"{name} is not a model of the project's own, so its videos are not kept on "
            "disk; leave index_folder and storage out"
        )
    source = locate(name)
    family_of(host_type(source))
    place = place_model(options, torch.bfloat16)
    try:
        processor = load_processor(source)
        model = AutoModelForImageTextToText.from_pretrained(
            source, dtype=place.wanted or "auto", **place.options
        )
    except LOADING_ERRORS as error:
        raise unloadable(str(name), error) from error
    model = place.settle(model)
    return plug(
        model,
        processor,
        scorer=options.scorer,
        use_timestamps=options.use_timestamps,
        name=str(name),
    )


def load_processor(name: str | Path) -> HostProcessor:
    """Load the processor of a host; where torchvision is missing, from its files."""
    if find_spec("torchvision") is None:
        return HostProcessor.from_pretrained(name)
    return HostProcessor.of(AutoProcessor.from_pretrained(name))


def find_family(model: Any, processor: Any) -> Family:
    """Make the family of a model and its processor.

    Args:
        model: The host.
        processor: Its processor.

    Raises:
        ValueError: The family is not known, or the processor belongs to another model.
    """
    model = _without_peft(model)
    model_type = getattr(getattr(model, "config", None), "model_type", None)
    kind = family_of(model_type)
    host = HostProcessor.of(processor)
    size = model.get_input_embeddings().weight.shape[0]
    if len(host.tokenizer) > size:
        raise ValueError(
            f"the processor has {len(host.tokenizer)} tokens, the model only {size}; load "
            "both from one folder"
        )
    family = kind(model, host)
    if family.placeholder >= len(host.tokenizer):
        raise ValueError(
            f"the model's token {family.placeholder} for a video is not one of the "
            f"{len(host.tokenizer)} of the processor; load both from one folder"
        )
    family.check()
    return family


def _without_peft(model: Any) -> Any:
    """Take a host out of the wrapper of peft; its adapters stay on in its layers."""
    peft = sys.modules.get("peft")  # whoever has wrapped a model has imported it
    if peft is None or not isinstance(model, peft.PeftModel):
        return model
    active = model.peft_config[model.active_adapter]
    if active.is_prompt_learning:
        raise ValueError(
            f"the adapter {model.active_adapter!r} is of type {active.peft_type.value}, "
            "which changes the prompt and not the layers; plug a model with LoRA or "
            "another adapter of layers, or the base model"
        )
    return model.get_base_model()
