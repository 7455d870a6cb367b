"""Configuration of the SlowFocus model: vision tower, Q-Former, language model, network."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import PreTrainedConfig

from dynfocus.focus import SlowFocusSettings
from dynfocus.models.video_config import INITIALIZER_RANGE, VideoConfig

CLIP_L_14: dict[str, Any] = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
}
"""CLIP ViT-L/14 without the last of its 24 layers, whose input is what is read."""


class SlowFocusConfig(VideoConfig):
    """Hold what a SlowFocus checkpoint needs to be rebuilt.

    Args:
        vision_config: Any vision tower of transformers, of which the last hidden state
            before the final norm is read; by default CLIP ViT-L/14 without its last
            layer, since the published model reads the one before.
        qformer_config: The text encoder, an InstructBLIP Q-Former, with the width of the
            patches that it was trained on; the tower's are projected to it.
        text_config: Any causal language model of transformers; Llama by default.
        slow: The settings of SlowFocus's network, as ``SlowFocusSettings.to_dict()``
            gives them or as ``SlowFocusSettings``; the paper's by default.
        video_token_id: Vocabulary entry that holds the place of one video token.
        num_query_tokens: Queries a frame of the Q-Former.
        frame_size: Side of a frame in pixels; the vision tower's by default.
        initializer_range: Standard deviation of fresh weights.
        **kwargs: What every transformers configuration takes.
    """

    model_type = "slowfocus"
    default_tower: ClassVar[dict[str, Any]] = CLIP_L_14

    def __init__(
        self,
        vision_config: PreTrainedConfig | dict[str, Any] | None = None,
        qformer_config: PreTrainedConfig | dict[str, Any] | None = None,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        slow: SlowFocusSettings | dict[str, Any] | None = None,
        video_token_id: int | None = None,
        num_query_tokens: int = 32,
        frame_size: int | None = None,
        initializer_range: float = INITIALIZER_RANGE,
        **kwargs: Any,
    ) -> None:
        if not isinstance(slow, SlowFocusSettings):
            slow = SlowFocusSettings.from_dict(slow or {})
        self.slow = slow.to_dict()
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

    @property
    def methods(self) -> tuple[str, ...]:
        """Give the name of what makes the tokens."""
        return (self.model_type,)

    @property
    def focus_settings(self) -> SlowFocusSettings:
        """Give the settings of SlowFocus's network, checked."""
        return SlowFocusSettings.from_dict(self.slow)
