"""What the configurations of all our models have: the three parts and their sizes."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    InstructBlipQFormerConfig,
    InstructBlipVisionConfig,
    PreTrainedConfig,
)

from dynfocus.models.vision import count_patches

_INSTRUCTBLIP = {  # parts that older releases of transformers do not map by name
    "instructblip_vision_model": InstructBlipVisionConfig,
    "instructblip_qformer": InstructBlipQFormerConfig,
}
INITIALIZER_RANGE = 0.02
_LEAST_INITIALIZER_RANGE = 1e-6


class VideoConfig(PreTrainedConfig, ABC):  # type: ignore[misc]
    """Hold the parts of a model that reads videos; each kind of model derives from it.

    Args:
        vision_config: Any vision tower of transformers.
        qformer_config: The text encoder, an InstructBLIP Q-Former; the width of the
            patches that it reads is set to that of the tower unless the kind says other.
        text_config: Any causal language model of transformers; Llama by default.
        video_token_id: Vocabulary entry that holds the place of one video token.
        num_query_tokens: Queries a frame of the Q-Former.
        frame_size: Side of a frame in pixels; the vision tower's by default.
        initializer_range: Standard deviation of fresh weights.
        **kwargs: What every transformers configuration takes.
    """

    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        "cache",
        "past_key_values",
        "video_tokens",
    ]
    sub_configs: ClassVar[dict[str, Any]] = {
        "vision_config": AutoConfig,
        "qformer_config": InstructBlipQFormerConfig,
        "text_config": AutoConfig,
    }
    default_tower: ClassVar[dict[str, Any]] = {
        "model_type": "instructblip_vision_model"
    }
    """The vision tower where none is given."""

    def __init__(
        self,
        vision_config: PreTrainedConfig | dict[str, Any] | None = None,
        qformer_config: PreTrainedConfig | dict[str, Any] | None = None,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        video_token_id: int | None = None,
        num_query_tokens: int = 32,
        frame_size: int | None = None,
        initializer_range: float = INITIALIZER_RANGE,
        **kwargs: Any,
    ) -> None:
        self.vision_config = _vision_config(
            self.default_tower if vision_config is None else vision_config
        )
        self.qformer_config = _sub_config(qformer_config, "instructblip_qformer")
        self.text_config = _sub_config(text_config, "llama")
        self.video_token_id = video_token_id
        self.num_query_tokens = num_query_tokens
        self.frame_size = _frame_size(frame_size, self.vision_config)
        self.initializer_range = initializer_range
        super().__init__(**kwargs)

    @property
    @abstractmethod
    def focus_settings(self) -> Any:
        """Give the settings of what stands between tower and language model, checked."""

    @property
    def num_patches(self) -> int:
        """Count the patches of a frame that the vision tower gives, ``N``."""
        return count_patches(self.vision_config)

    @property
    def is_plain(self) -> bool:
        """Tell whether videos are kept as DynFocus's prototypes, and not as patches."""
        return False

    @property
    def connector_facts(self) -> dict[str, Any] | None:
        """What a processor must know of the connector; None where settings tell all."""
        return None

    @property
    @abstractmethod
    def methods(self) -> tuple[str, ...]:
        """Give the names of what makes the tokens, which a question may ask for."""


def _sub_config(
    config: PreTrainedConfig | dict[str, Any] | None, default_type: str
) -> Any:
    if isinstance(config, PreTrainedConfig):
        return config
    fields = dict(config or {})
    model_type = fields.pop("model_type", default_type)
    if model_type in _INSTRUCTBLIP:
        return _INSTRUCTBLIP[model_type](**fields)
    if model_type not in CONFIG_MAPPING:
        raise ValueError(
            f"model_type {model_type!r} is not known to the installed transformers; "
            "install a version that has it, or choose another model"
        )
    return CONFIG_MAPPING[model_type](**fields)


def _vision_config(config: PreTrainedConfig | dict[str, Any] | None) -> Any:
    """Build the vision configuration, with a usable spread of fresh weights.

    The class default of InstructBLIP's tower is 1e-10, made for weights that are
    always loaded; a tower trained from scratch would never leave zero.
    """
    vision = copy.deepcopy(_sub_config(config, "instructblip_vision_model"))
    spread = getattr(vision, "initializer_range", None)
    if spread is not None and spread < _LEAST_INITIALIZER_RANGE:
        vision.initializer_range = INITIALIZER_RANGE
    return vision


def _frame_size(frame_size: int | None, vision_config: Any) -> int:
    side = vision_config.image_size
    if not isinstance(side, int):
        if len(set(side)) != 1:
            raise ValueError(
                f"vision_config.image_size must be a square, got {tuple(side)}"
            )
        side = int(side[0])
    if frame_size is not None and frame_size != side:
        raise ValueError(
            f"frame_size must equal vision_config.image_size ({side}), got {frame_size}"
        )
    return int(side)
