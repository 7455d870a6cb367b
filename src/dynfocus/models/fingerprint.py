"""What of a model decides what an index holds: a name for it, and its sizes."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from dynfocus.index import IndexLayout
from dynfocus.index.layout import check_storage
from dynfocus.models.dynfocus import DynFocusConfig
from dynfocus.models.video_config import VideoConfig
from dynfocus.models.video_language_model import VideoLanguageModel
from dynfocus.models.video_processor import VideoProcessor
from dynfocus.models.vision import (
    PatchFeatures,
    build_vision_tower,
    encode_pixels,
)

_NUM_SAMPLED = 4096
READ_LATER = frozenset(
    {
        "focus",
        "slow",
        "initializer_range",
        "num_query_tokens",
        "qformer_config",
        "text_config",
    }
    | {"connector", "connector_options"}
    | {"chat_template", "fps", "max_frames", "question_first", "tokenizer"}
    | {"asks_openly", "single_turn", "use_question_vocabulary", "video_token_id"}
)
"""Arguments of configuration and processor that encoding does not read; all others, new
ones too, decide the fingerprint, and of the focus settings those that say so."""
_WITHOUT_INFLUENCE = ("transformers_version", "_name_or_path", "architectures", "dtype")


class ModelFingerprint:
    """Name a model by all that its question-independent half depends on.

    The weights are read once, and again after they were changed in place.

    Args:
        model: The model.
        processor: Its processor.
        of_patches: Whether only what the vision tower gives is wanted, on which the
            focus settings have no influence.
    """

    def __init__(
        self,
        model: VideoLanguageModel,
        processor: VideoProcessor,
        *,
        of_patches: bool = False,
    ) -> None:
        self._model = model
        self._processor = processor
        self._of_patches = of_patches
        self._state: list[tuple[int, int]] = []
        self._name = ""

    @property
    def is_known(self) -> bool:
        """Tell whether the weights are here to be read, and not spread to a disk."""
        return not any(weight.is_meta for weight in self._weights())

    def __call__(self) -> str:
        """Give the name."""
        state = [_state_of(weight) for weight in self._weights()]
        if not self._name or state != self._state:
            self._name, self._state = self._read(), state
        return self._name

    def _modules(self) -> list[nn.Module]:
        modules: list[nn.Module] = [self._model.vision_tower]
        if not self._of_patches:
            modules.append(self._model.focus_network.spatial_prototypes)
        return modules

    def _weights(self) -> list[torch.Tensor]:
        return [w for module in self._modules() for w in module.state_dict().values()]

    def _read(self) -> str:
        model = self._model
        facts = _arguments(model.config) | _arguments(self._processor)
        if facts.get("tower_method") is None:  # as before there were tower methods
            for name in ("tower_method", "tower_options"):
                facts.pop(name, None)
        vision = model.config.vision_config.to_dict()
        facts["vision_config"] = {
            k: v for k, v in vision.items() if k not in _WITHOUT_INFLUENCE
        }
        facts["dtype"] = str(model.vision_tower.dtype)
        if not self._of_patches:
            facts["focus"] = model.settings.encoding_fields()
        text = json.dumps(facts, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode())
        for module in self._modules():
            digest_weights(digest, module)
        return digest.hexdigest()[:32]


def _arguments(one: VideoConfig | VideoProcessor) -> dict[str, Any]:
    """Give what an object was made with, as far as encoding may read it."""
    names = inspect.signature(type(one).__init__).parameters
    own = names.keys() - READ_LATER - {"self", "kwargs"}
    return {name: getattr(one, name) for name in own}


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
    num_patch_tokens = 0
    if config.text_side == "frame_queries":
        num_patch_tokens = _encode_nothing(config).normalised.shape[1]
    return IndexLayout(
        settings=config.focus_settings,
        dim=config.vision_config.hidden_size,
        num_patch_tokens=num_patch_tokens,
        dtype=dtype,
    )


def index_layouts(
    config: Any, dtype: torch.dtype, storage: str | None = None
) -> tuple[IndexLayout, ...]:
    """Tell what an index may hold for a model of any kind, the best first.

    Args:
        config: The configuration.
        dtype: Precision of the vision tower.
        storage: ``"exact"`` or ``"compact"``, where prototypes are kept; by default both.

    Raises:
        ValueError: The storage is none of them.
    """
    if storage is not None:
        check_storage(storage)
    if not config.is_plain:
        return (patch_layout(config, dtype),)
    return index_layout(config, dtype).offered(storage)


def patch_layout(config: VideoConfig, dtype: torch.dtype) -> IndexLayout:
    """Tell what is kept of a video where only its patches are; see `index_layout`."""
    return IndexLayout(
        storage="patches",
        dim=config.vision_config.hidden_size,
        num_patch_tokens=config.num_patches,
        dtype=dtype,
    )


def _encode_nothing(config: DynFocusConfig) -> PatchFeatures:
    """Encode a frame with a tower without weights, to learn of its shapes."""
    with torch.device("meta"), torch.no_grad():
        tower = build_vision_tower(config.vision_config)
        pixels = torch.zeros(1, 3, config.frame_size, config.frame_size)
        return encode_pixels(tower, pixels)
