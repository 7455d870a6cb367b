"""A host from a folder or the hub, with its processor, plugged."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedConfig

from dynfocus.focus.tokens import ConeTokens
from dynfocus.methods.looking import Scorer
from dynfocus.models.dynfocus import DynFocusConfig
from dynfocus.models.loading import (
    HUB_ID,
    LOADING_ERRORS,
    NANO,
    placement,
    unloadable,
)
from dynfocus.plugins.host_processor import HostProcessor
from dynfocus.plugins.plugged import PluggedModel
from dynfocus.plugins.plugging import DEFAULT_BUDGET, plug
from dynfocus.plugins.registry import family_of


def host_type(name: str | Path) -> str | None:
    """Read the ``model_type`` of a model that is not one of the project's own.

    Args:
        name: ``"nano"``, a folder, or a hub id.

    Returns:
        The type, or None for the project's own and for what is no model at all.
    """
    if str(name) == NANO:
        return None
    if not ((Path(name) / "config.json").is_file() or HUB_ID.fullmatch(str(name))):
        return None
    try:
        fields, _ = PreTrainedConfig.get_config_dict(name)
    except LOADING_ERRORS:
        return None  # whoever loads it says what is wrong
    model_type = fields.get("model_type")
    if not isinstance(model_type, str) or model_type == DynFocusConfig.model_type:
        return None
    return model_type


def load_host(
    name: str | Path,
    *,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    quantize: str | None = None,
    device_map: str | dict[str, Any] | None = None,
    method: str = "dynfocus",
    max_video_tokens: int = DEFAULT_BUDGET,
    scorer: str | Path | Scorer | None = None,
    cone_tokens: ConeTokens = None,
) -> PluggedModel:
    """Load a vision language model and plug it.

    Args:
        name: A folder or a hub id.
        device: Where the model goes; the first GPU if there is one, by default.
        dtype: Precision; float32 on a CPU and the checkpoint's elsewhere by default.
        quantize: ``"8bit"`` or ``"4bit"``.
        device_map: Where each module goes, or ``"auto"``; in place of ``device``.
        method: As in `plug`.
        max_video_tokens: As in `plug`.
        scorer: As in `plug`.
        cone_tokens: As in `plug`.

    Raises:
        ValueError: The family is not supported, or the model is not there or not whole.
    """
    family_of(host_type(name))
    if device is not None and device_map is not None:
        raise ValueError(
            f"only one of device and device_map can be given, got {device!r} and "
            f"{device_map!r}; leave one out"
        )
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if dtype is None and place == "cpu":
        dtype = torch.float32
    options = placement(place, dtype or torch.bfloat16, quantize, device_map)
    try:
        processor = load_processor(name)
        model = AutoModelForImageTextToText.from_pretrained(
            name, dtype=dtype or "auto", **options
        )
    except LOADING_ERRORS as error:
        raise unloadable(str(name), error) from error
    return plug(
        model if options else model.to(place),
        processor,
        method=method,
        max_video_tokens=max_video_tokens,
        scorer=scorer,
        cone_tokens=cone_tokens,
        name=str(name),
    )


def load_processor(name: str | Path) -> HostProcessor:
    """Load the processor of a host; where torchvision is missing, from its files."""
    if find_spec("torchvision") is None:
        return HostProcessor.from_pretrained(name)
    return HostProcessor.of(AutoProcessor.from_pretrained(name))
