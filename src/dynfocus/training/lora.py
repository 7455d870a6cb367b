"""Low-rank adapters on the language model (LoRA), on quantized weights too (QLoRA)."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from dynfocus.models.dynfocus import DynFocusForConditionalGeneration
from dynfocus.models.memory import quantization_config
from dynfocus.validation import Count, Positive, checked


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


def add_adapters(
    model: DynFocusForConditionalGeneration, settings: LoraSettings
) -> None:
    """Wrap the language model; its own weights freeze.

    Raises:
        ImportError: If peft is not installed.
    """
    _need("peft", "lora", "train")
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
    trained: nn.Module, fresh: DynFocusForConditionalGeneration, settings: LoraSettings
) -> DynFocusForConditionalGeneration:
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
) -> DynFocusForConditionalGeneration:
    """Load a model whose language model is quantized, all else in float32.

    Raises:
        ImportError: If bitsandbytes is not installed.
    """
    _need("bitsandbytes", "lora.quantization", "quantization")
    # adapters are trained in bfloat16, whatever the weights around them
    config = quantization_config(
        settings.quantization, torch.bfloat16, is_training=True
    )
    return DynFocusForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, quantization_config=config
    )


def _need(package: str, setting: str, extra: str) -> None:
    if find_spec(package) is None:
        raise ImportError(
            f"{setting} needs the package {package}: pip install 'dynfocus[{extra}]'"
        )
