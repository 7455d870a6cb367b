"""Low-rank adapters on the language model (LoRA), on quantized weights too (QLoRA)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from dynfocus.models.dynfocus import DynFocusForConditionalGeneration
from dynfocus.models.memory import QUANTIZATIONS, quantization_config

_QUANTIZATIONS = ("none", *QUANTIZATIONS)


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """Adapters on every linear layer of the language model but its head."""

    rank: int
    alpha: float
    """The adapters' output is scaled by ``alpha / rank``."""
    dropout: float = 0.0
    quantization: str = "none"
    """How the language model's own weights are kept: ``none``, ``8bit``, or ``4bit``
    (NF4 with double quantization)."""

    def __post_init__(self) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, int):
            raise ValueError(f"lora.rank must be a whole number, got {self.rank!r}")
        if self.rank < 1:
            raise ValueError(f"lora.rank must be 1 or more, got {self.rank}")
        if not isinstance(self.alpha, int | float) or not self.alpha > 0:
            raise ValueError(f"lora.alpha must be a number above 0, got {self.alpha!r}")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise ValueError(
                f"lora.dropout must be from 0 to below 1, got {self.dropout!r}"
            )
        if self.quantization not in _QUANTIZATIONS:
            raise ValueError(
                f"lora.quantization must be one of {', '.join(_QUANTIZATIONS)}, got "
                f"{self.quantization!r}"
            )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> LoraSettings | None:
        """Read a recipe's group ``lora``; None if it is empty."""
        if not values:
            return None
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(
                f"lora: unknown setting {unknown[0]!r}; known are {', '.join(known)}"
            )
        missing = [name for name in ("rank", "alpha") if name not in values]
        if missing:
            raise ValueError(f"lora: the setting {missing[0]!r} is missing")
        return cls(**values)


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
