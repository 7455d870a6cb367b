"""A host from a folder or the hub, with its processor, plugged."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedConfig

from dynfocus.defaults import locate
from dynfocus.models.dynfocus import DynFocusConfig
from dynfocus.models.dynfocus.backbone import NANO
from dynfocus.models.loading import (
    LOADING_ERRORS,
    choose_place,
    placement,
    unloadable,
)
from dynfocus.models.options import LoadOptions
from dynfocus.models.video_model import VideoModel
from dynfocus.plugins.host_processor import HostProcessor
from dynfocus.plugins.plugging import plug
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
    try:
        fields, _ = PreTrainedConfig.get_config_dict(locate(name))
    except LOADING_ERRORS:
        return None  # whoever loads it says what is wrong
    model_type = fields.get("model_type")
    if not isinstance(model_type, str) or model_type == DynFocusConfig.model_type:
        return None
    return model_type


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
    place, dtype = choose_place(options)
    precision = dtype or torch.bfloat16
    placed = placement(place, precision, options.quantize, options.device_map)
    try:
        processor = load_processor(source)
        model = AutoModelForImageTextToText.from_pretrained(
            source, dtype=dtype or "auto", **placed
        )
    except LOADING_ERRORS as error:
        raise unloadable(str(name), error) from error
    model = model if placed else model.to(place)
    return plug(model, processor, scorer=options.scorer, name=str(name))


def load_processor(name: str | Path) -> HostProcessor:
    """Load the processor of a host; where torchvision is missing, from its files."""
    if find_spec("torchvision") is None:
        return HostProcessor.from_pretrained(name)
    return HostProcessor.of(AutoProcessor.from_pretrained(name))
