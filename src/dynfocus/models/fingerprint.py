"""What of a model decides what an index holds: a name for it, and its sizes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from dynfocus.focus import FocusSettings
from dynfocus.index import IndexLayout
from dynfocus.models.dynfocus import (
    DynFocusConfig,
    DynFocusForConditionalGeneration,
    DynFocusProcessor,
)
from dynfocus.models.dynfocus.vision import build_vision_tower, encode_pixels

_NUM_SAMPLED = 4096
_WITHOUT_INFLUENCE = ("transformers_version", "_name_or_path", "architectures", "dtype")


class ModelFingerprint:
    """Name a model by all that its question-independent half depends on.

    The weights are read once, and again after they were changed in place.

    Args:
        model: The model.
        processor: Its processor.
    """

    def __init__(
        self, model: DynFocusForConditionalGeneration, processor: DynFocusProcessor
    ) -> None:
        self._model = model
        self._processor = processor
        self._state: list[tuple[int, int]] = []
        self._name = ""

    @property
    def is_known(self) -> bool:
        """Tell whether the weights are here to be read, and not spread to a disk."""
        return not any(weight.is_meta for weight in self._weights())

    def __str__(self) -> str:
        state = [_state_of(weight) for weight in self._weights()]
        if not self._name or state != self._state:
            self._name, self._state = self._read(), state
        return self._name

    def _weights(self) -> list[torch.Tensor]:
        return [
            *self._model.vision_tower.state_dict().values(),
            *self._model.spatial_prototypes.state_dict().values(),
        ]

    def _read(self) -> str:
        model, processor = self._model, self._processor
        vision = model.config.vision_config.to_dict()
        facts = {
            "vision": {k: v for k, v in vision.items() if k not in _WITHOUT_INFLUENCE},
            "focus": model.settings.encoding_fields(),
            "text_side": model.config.text_side,
            "dtype": str(model.vision_tower.dtype),
            "frame_size": processor.frame_size,
            "mean": [float(value) for value in processor.image_mean],
            "std": [float(value) for value in processor.image_std],
        }
        text = json.dumps(facts, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode())
        digest_weights(digest, model.vision_tower)
        digest_weights(digest, model.spatial_prototypes)
        return digest.hexdigest()[:32]


def fingerprint_parameters(named: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Hash parameters by a sample of each, which takes a moment at any size.

    Names, shapes and precisions count, and of each tensor up to 4096 values spread over
    it from its first on. Other training is always seen; that single values were changed
    by hand may not be. Of weights that are spread to a disk the values are not seen.
    """
    digest = hashlib.sha256()
    for name, parameter in named:
        values = parameter.detach().flatten()
        values = values[:: max(1, -(-len(values) // _NUM_SAMPLED))].contiguous()
        digest.update(f"{name} {tuple(parameter.shape)} {values.dtype}".encode())
        if not values.is_meta:
            digest.update(values.cpu().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _state_of(weight: torch.Tensor) -> tuple[int, int]:
    """Tell where a weight is and how often it was changed in place."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version


def digest_weights(digest: Any, module: nn.Module) -> None:
    """Add the names and weights of a module to a hash, whatever their precision."""
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().numpy().tobytes())


def index_layout(config: DynFocusConfig, dtype: torch.dtype) -> IndexLayout:
    """Tell what an index holds for a model, from its configuration.

    Args:
        config: The configuration.
        dtype: Precision of the vision tower.
    """
    settings: FocusSettings = config.focus_settings
    keeps_patches = config.text_side == "frame_queries"
    return IndexLayout(
        settings=settings,
        dim=config.vision_config.hidden_size,
        num_patch_tokens=_count_patch_tokens(config) if keeps_patches else 0,
        dtype=dtype,
    )


def _count_patch_tokens(config: DynFocusConfig) -> int:
    """Count the patches and class tokens of a frame on a tower without weights."""
    with torch.device("meta"), torch.no_grad():
        tower = build_vision_tower(config.vision_config)
        pixels = torch.zeros(1, 3, config.frame_size, config.frame_size)
        return int(encode_pixels(tower, pixels).normalised.shape[1])
