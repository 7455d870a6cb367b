"""Which family a model belongs to, by its ``model_type``; others may bring their own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from dynfocus.extensions import FAMILIES, load_extensions
from dynfocus.plugins.families.internvl import InternVL
from dynfocus.plugins.families.llava_next_video import LlavaNextVideo
from dynfocus.plugins.families.llava_onevision import LlavaOnevision
from dynfocus.plugins.families.qwen2_5_vl import Qwen25VL
from dynfocus.plugins.families.qwen3_vl import Qwen3VL
from dynfocus.plugins.families.smolvlm import SmolVLM
from dynfocus.plugins.families.video_llava import VideoLlava
from dynfocus.plugins.family import Family
from dynfocus.plugins.host_processor import HostProcessor

_OWN: tuple[type[Family], ...] = (
    InternVL,
    LlavaNextVideo,
    LlavaOnevision,
    Qwen25VL,
    Qwen3VL,
    SmolVLM,
    VideoLlava,
)


def families() -> Mapping[str, type[Family]]:
    """Collect the families by ``model_type``; those of other packages come first."""
    found = {name: family for family in _OWN for name in family.model_types}
    for name, family in load_extensions(FAMILIES).items():
        if not (isinstance(family, type) and issubclass(family, Family)):
            raise ValueError(
                f"the entry point {name} in {FAMILIES} is no subclass of "
                "dynfocus.plugins.Family; correct or uninstall its package"
            )
        found |= dict.fromkeys(family.model_types, family)
    return found


def family_of(model_type: str | None) -> type[Family]:
    """Give the family of a ``model_type``; refuse one that no family has."""
    known = families()
    if model_type is None or model_type not in known:
        raise ValueError(
            f"models of type {model_type!r} are not supported; supported are "
            f"{', '.join(sorted(known))}, and docs/plugins.md shows how to add another"
        )
    return known[model_type]


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
