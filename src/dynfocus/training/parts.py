"""Which parameters learn: groups of a model, and low-rank adapters (LoRA, QLoRA)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from dynfocus.models.loading import KINDS, load_config
from dynfocus.models.memory import quantization_config
from dynfocus.models.video_language_model import VideoLanguageModel
from dynfocus.models.video_processor import VideoProcessor
from dynfocus.validation import Count, Positive, checked

_OUTSIDE = {
    "tower_method": ("vision_tower.method.",),
    "vision_tower": ("vision_tower.",),
    "text_encoder": ("text_encoder.", "query_tokens", "focus_network.reader_norm."),
    "language_model": ("language_model.",),
}
"""Groups by the start of their parameters' names; the first that fits."""
_INSIDE = {
    "clock": ("question_head.clock", "temporal_table"),
    "mixing": ("mixing",),
    "rating": ("question_head.rating",),
    "scores": (
        "event_prototypes",
        "spatial_prototypes",
        "question_head.event_context",
    ),
    "projectors": ("multi_modal_projector", "context_projector", "projector"),
    "attention": ("query_projector", "key_projector", "reader_projector"),
}
"""Groups by a dotted part of a name in the network between tower and language model; the
first that fits has the parameter."""

GROUPS = (*_OUTSIDE, *_INSIDE, "connector")
"""All groups: ``projectors`` lead into the language model, ``attention`` is that of Rods
or of SlowFocus's context tokens, ``scores`` choose events, ``clock`` tells the time (ours,
or SlowFocus's table), ``tower_method`` is what learns of one, ``mixing`` is SlowFocus's, ``rating`` is ours, and ``connector`` is
what is left of another connector."""


def group_of(name: str) -> str:
    """Name the group of a parameter; empty for what training adds to a model."""
    name = name.removeprefix("model.")  # of `dynfocus.training.evidence.EvidenceModel`
    for group, heads in _OUTSIDE.items():
        if name.startswith(heads):
            return group
    if not name.startswith("focus_network."):
        return ""
    for group, parts in _INSIDE.items():
        if any(f".{part}." in name for part in parts):
            return group
    return "connector"


def check_groups(groups: Iterable[str], setting: str) -> None:
    """Refuse names of groups that do not exist."""
    for group in groups:
        if group not in GROUPS:
            raise ValueError(
                f"{setting} must name some of {', '.join(GROUPS)}, got {group!r}"
            )


def set_trainable(model: nn.Module, groups: Sequence[str]) -> list[str]:
    """Free the parameters of some groups and freeze all others.

    Where the language model has adapters, they learn in its place.

    Args:
        model: The model.
        groups: Names of `GROUPS`.

    Returns:
        Names of the parameters that learn.
    """
    check_groups(groups, "trains")
    has_adapters = any(".lora_" in name for name, _ in model.named_parameters())
    names = []
    for name, parameter in model.named_parameters():
        group = group_of(name)
        learns = group in groups
        if has_adapters and group == "language_model":
            learns = ".lora_" in name
        parameter.requires_grad_(learns)
        if learns:
            names.append(name)
    return names


@checked
class LoraSettings:
    """Adapters on every linear layer of the language model but its head."""

    rank: Count
    """Width of the adapters."""
    alpha: Positive
    """The adapters' output is scaled by ``alpha / rank``."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the adapters' inputs that are left out."""
    quantization: Literal["none", "8bit", "4bit"] = "none"
    """How the language model's own weights are kept: ``none``, ``8bit``, or ``4bit``
    (NF4 with double quantization)."""


def add_adapters(model: VideoLanguageModel, settings: LoraSettings) -> None:
    """Wrap the language model; its own weights freeze.

    Raises:
        ImportError: If peft is not installed.
    """
    need_package("peft", "lora", "train")
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        bias="none",
    )
    model.language_model = get_peft_model(model.language_model, config)
    if settings.quantization != "none":
        # the Trainer refuses quantized weights unless it is told of their adapters
        model._hf_peft_config_loaded = True


def merge_adapters(
    trained: nn.Module, fresh: VideoLanguageModel, settings: LoraSettings
) -> VideoLanguageModel:
    """Put what was learned into the weights that the run started from.

    The weights are those of full precision, whatever the run kept them in.

    Args:
        trained: The model with its adapters.
        fresh: The model that the run started from, loaded again.
        settings: The adapters'.

    Returns:
        ``fresh``, changed.
    """
    add_adapters(fresh, replace(settings, quantization="none"))
    own = dict(fresh.named_parameters())
    for name, parameter in trained.named_parameters():
        if parameter.requires_grad:
            own[name].data.copy_(parameter.data)
    fresh.language_model = fresh.language_model.merge_and_unload()
    return fresh


def load_quantized(
    folder: str, settings: LoraSettings
) -> tuple[VideoLanguageModel, VideoProcessor]:
    """Load a model whose language model is quantized, all else in float32.

    Raises:
        ImportError: If bitsandbytes is not installed.
        ValueError: If the folder holds no model of ours.
    """
    need_package("bitsandbytes", "lora.quantization", "quantization")
    # adapters are trained in bfloat16, whatever the weights around them
    config = quantization_config(
        settings.quantization, torch.bfloat16, is_training=True
    )
    _, model_class, processor_class = KINDS[load_config(folder)[0].model_type]
    model = model_class.from_pretrained(
        folder, dtype=torch.float32, quantization_config=config
    )
    return model, processor_class.from_pretrained(folder)


def need_package(package: str, setting: str, extra: str) -> None:
    """Refuse a setting whose package is not installed.

    Raises:
        ImportError: Naming the extra that installs it.
    """
    if find_spec(package) is None:
        raise ImportError(
            f"{setting} needs the package {package}: pip install 'dynfocus[{extra}]'"
        )
