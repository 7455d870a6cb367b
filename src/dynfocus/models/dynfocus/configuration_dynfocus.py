"""Configuration of the DynFocus model: vision tower, Q-Former, language model, focus."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    InstructBlipQFormerConfig,
    InstructBlipVisionConfig,
    PreTrainedConfig,
)

from dynfocus.focus import FocusSettings
from dynfocus.methods.connectors import DEFAULT_CONNECTOR, ConnectorSizes
from dynfocus.models.dynfocus.vision import count_patches

TEXT_SIDES = ("text", "frame_queries")
_INSTRUCTBLIP = {  # parts that older releases of transformers do not map by name
    "instructblip_vision_model": InstructBlipVisionConfig,
    "instructblip_qformer": InstructBlipQFormerConfig,
}
_INITIALIZER_RANGE = 0.02
_LEAST_INITIALIZER_RANGE = 1e-6


class DynFocusConfig(PreTrainedConfig):  # type: ignore[misc]
    """Hold what a DynFocus checkpoint needs to be rebuilt.

    Args:
        vision_config: Any vision tower of transformers; InstructBLIP's EVA ViT-g by
            default.
        qformer_config: The text encoder, an InstructBLIP Q-Former.
        text_config: Any causal language model of transformers; Llama by default.
        focus: The settings of the dynamic cooperative network, as
            ``FocusSettings.to_dict()`` gives them or as ``FocusSettings``; the
            paper's by default.
        connector: What turns patches into tokens: ``"dynfocus"``, or another of
            `dynfocus.methods.CONNECTORS`.
        connector_options: The connector's own settings.
        text_side: ``"text"`` reads the question alone (the paper);
            ``"frame_queries"`` reads ``num_query_tokens`` image-conditioned queries
            of every frame (the published code).
        video_token_id: Vocabulary entry that holds the place of one video token.
        num_query_tokens: Queries a frame of the Q-Former, for ``"frame_queries"``.
        frame_size: Side of a frame in pixels; the vision tower's by default.
        initializer_range: Standard deviation of fresh weights.
        **kwargs: What every transformers configuration takes.
    """

    model_type = "dynfocus"
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

    def __init__(
        self,
        vision_config: PreTrainedConfig | dict[str, Any] | None = None,
        qformer_config: PreTrainedConfig | dict[str, Any] | None = None,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        focus: FocusSettings | dict[str, Any] | None = None,
        connector: str = DEFAULT_CONNECTOR,
        connector_options: dict[str, Any] | None = None,
        text_side: str = "text",
        video_token_id: int | None = None,
        num_query_tokens: int = 32,
        frame_size: int | None = None,
        initializer_range: float = _INITIALIZER_RANGE,
        **kwargs: Any,
    ) -> None:
        self.vision_config = _vision_config(vision_config)
        self.qformer_config = _sub_config(qformer_config, "instructblip_qformer")
        self.qformer_config.encoder_hidden_size = self.vision_config.hidden_size
        self.text_config = _sub_config(text_config, "llama")
        settings = focus if isinstance(focus, FocusSettings) else _settings(focus)
        self.focus = settings.to_dict()
        if text_side not in TEXT_SIDES:
            raise ValueError(
                f"text_side must be one of {', '.join(TEXT_SIDES)}, got {text_side!r}"
            )
        if text_side != "text" and (
            connector != DEFAULT_CONNECTOR or connector_options
        ):
            raise ValueError(
                f"connector {connector!r} with other options than DynFocus's own needs "
                f"text_side 'text', got {text_side!r}"
            )
        self.connector = connector
        self.connector_options = dict(connector_options or {})
        self.text_side = text_side
        self.video_token_id = video_token_id
        self.num_query_tokens = num_query_tokens
        self.frame_size = _frame_size(frame_size, self.vision_config)
        self.initializer_range = initializer_range
        super().__init__(**kwargs)

    @property
    def is_plain(self) -> bool:
        """Tell whether the connector is DynFocus as it is, and none of the others."""
        return self.connector == DEFAULT_CONNECTOR and not self.connector_options

    @property
    def connector_facts(self) -> dict[str, Any] | None:
        """What a processor must know of the connector; None if it is DynFocus as it is."""
        if self.is_plain:
            return None
        return {
            "name": self.connector,
            "options": self.connector_options,
            "num_patches": count_patches(self.vision_config),
        }

    @property
    def connector_sizes(self) -> ConnectorSizes:
        """The widths between which the connector stands."""
        return ConnectorSizes(
            num_patches=count_patches(self.vision_config),
            dim=self.vision_config.hidden_size,
            text_dim=self.qformer_config.hidden_size,
            hidden_size=self.text_config.hidden_size,
        )

    @property
    def focus_settings(self) -> FocusSettings:
        """Give the settings of the dynamic cooperative network, checked."""
        return FocusSettings.from_dict(self.focus)


def _settings(focus: dict[str, Any] | None) -> FocusSettings:
    return FocusSettings.paper() if focus is None else FocusSettings.from_dict(focus)


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
        vision.initializer_range = _INITIALIZER_RANGE
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
