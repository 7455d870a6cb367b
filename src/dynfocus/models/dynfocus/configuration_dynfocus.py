"""Configuration of the DynFocus model: vision tower, Q-Former, language model, focus."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedConfig

from dynfocus.focus import FocusSettings
from dynfocus.methods.connectors import DEFAULT_CONNECTOR, ConnectorSizes
from dynfocus.models.video_config import INITIALIZER_RANGE, VideoConfig
from dynfocus.models.vision import build_method
from dynfocus.text import check_choice

TEXT_SIDES = ("text", "frame_queries")


class DynFocusConfig(VideoConfig):
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
        tower_method: What replaces or thins the vision tower, one of
            `dynfocus.methods.TOWERS`; None for the tower as it is.
        tower_options: The tower method's own settings.
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

    def __init__(
        self,
        vision_config: PreTrainedConfig | dict[str, Any] | None = None,
        qformer_config: PreTrainedConfig | dict[str, Any] | None = None,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        focus: FocusSettings | dict[str, Any] | None = None,
        connector: str = DEFAULT_CONNECTOR,
        connector_options: dict[str, Any] | None = None,
        tower_method: str | None = None,
        tower_options: dict[str, Any] | None = None,
        text_side: str = "text",
        video_token_id: int | None = None,
        num_query_tokens: int = 32,
        frame_size: int | None = None,
        initializer_range: float = INITIALIZER_RANGE,
        **kwargs: Any,
    ) -> None:
        settings = focus if isinstance(focus, FocusSettings) else _settings(focus)
        self.focus = settings.to_dict()
        check_choice(text_side, "text_side", TEXT_SIDES)
        if text_side != "text" and (
            connector != DEFAULT_CONNECTOR or connector_options
        ):
            raise ValueError(
                f"connector {connector!r} with other options than DynFocus's own needs "
                f"text_side 'text', got {text_side!r}"
            )
        self.connector = connector
        self.connector_options = dict(connector_options or {})
        if tower_method is not None and text_side != "text":
            raise ValueError(
                f"tower_method {tower_method!r} needs text_side 'text', got "
                f"{text_side!r}: it gives no patches for a Q-Former"
            )
        self.tower_method = tower_method
        self.tower_options = dict(tower_options or {})
        self.text_side = text_side
        super().__init__(
            vision_config,
            qformer_config,
            text_config,
            video_token_id=video_token_id,
            num_query_tokens=num_query_tokens,
            frame_size=frame_size,
            initializer_range=initializer_range,
            **kwargs,
        )
        self.qformer_config.encoder_hidden_size = self.vision_config.hidden_size

    @property
    def num_patches(self) -> int:
        """Count the patches of a frame that the tower, or its method, gives."""
        if self.tower_method is None:
            return super().num_patches
        with torch.device("meta"):
            method = build_method(
                self.vision_config, self.tower_method, self.tower_options
            )
        return int(method.num_patches)

    @property
    def is_plain(self) -> bool:
        """Tell whether the connector is DynFocus as it is, and none of the others."""
        return self.connector == DEFAULT_CONNECTOR and not self.connector_options

    @property
    def methods(self) -> tuple[str, ...]:
        """Give the name of the connector."""
        return (self.connector,)

    @property
    def connector_facts(self) -> dict[str, Any] | None:
        """What a processor must know of the connector; None if it is DynFocus as it is."""
        if self.is_plain:
            return None
        return {
            "name": self.connector,
            "options": self.connector_options,
            "num_patches": self.num_patches,
        }

    @property
    def connector_sizes(self) -> ConnectorSizes:
        """The widths between which the connector stands."""
        return ConnectorSizes(
            num_patches=self.num_patches,
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
