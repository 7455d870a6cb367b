"""The SlowFocus model: vision tower, Q-Former, frames of two frequencies, language model.

Letters: F frames in a window, N patches, D width of the vision tower, B questions, n
question tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers import initialization as init

from dynfocus.focus import (
    FrameEncoding,
    SlowFocusNetwork,
    TokenPlan,
    VideoFeatures,
    VideoTokens,
)
from dynfocus.focus.features import WINDOW_FRAMES
from dynfocus.models.conversation import FrameKind
from dynfocus.models.slowfocus.configuration_slowfocus import SlowFocusConfig
from dynfocus.models.video_language_model import VideoLanguageModel
from dynfocus.models.vision import ask_frames, encode_pixels
from dynfocus.models.visual_inputs import check_question_length


class SlowFocusForConditionalGeneration(VideoLanguageModel):
    """Answer questions about videos from frames of a low and of a high frequency.

    Each frame has a context token, in which the Q-Former looked for the question, and a
    grid of content tokens, which tell the frame's time; frames of the high frequency have
    looked at those of the low one. Where no frame is of the high frequency, this is one
    pass over the video.
    """

    config_class = SlowFocusConfig
    base_model_prefix = "slowfocus"
    frame_kinds: ClassVar[tuple[FrameKind, FrameKind]] = ("low", "high")
    fits_context = True
    time_grid = 1000
    _no_split_modules: ClassVar[list[str]] = [
        "CLIPEncoderLayer",
        "InstructBlipEncoderLayer",
        "InstructBlipQFormerLayer",
        "SlowFocusNetwork",
    ]

    @property
    def reads_frames(self) -> bool:
        """The Q-Former's queries read every frame."""
        return True

    def build_network(self) -> nn.Module:
        """Build a `SlowFocusNetwork`."""
        config: SlowFocusConfig = self.config
        return SlowFocusNetwork(
            self.settings,
            dim=config.vision_config.hidden_size,
            text_dim=config.qformer_config.hidden_size,
            hidden_size=config.text_config.hidden_size,
            reader_dim=config.qformer_config.encoder_hidden_size,
        )

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        mixing = self.focus_network.mixing
        if module is mixing and mixing is not None:
            init.zeros_(mixing.gates)

    def encode_frames(self, pixel_values: Tensor) -> FrameEncoding:
        """Encode some frames, each by itself.

        Args:
            pixel_values: Normalised frames, shape ``[F, 3, H, W]``.

        Returns:
            Their patches, ``[F, N, D]``.
        """
        patches = encode_pixels(self.vision_tower, pixel_values).content
        return self.focus_network.encode(patches)

    def focus(
        self,
        videos: Sequence[VideoFeatures],
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        owners: Sequence[int] | None = None,
        plans: Sequence[TokenPlan] | None = None,
    ) -> list[VideoTokens]:
        """Turn encoded videos and questions into video tokens; see `VideoLanguageModel`.

        Raises:
            ValueError: A question is longer than the Q-Former can read.
        """
        limit = self.config.qformer_config.max_position_embeddings
        check_question_length(input_ids, limit)
        assert self.query_tokens is not None  # the model reads frames
        frame_text = partial(
            ask_frames,
            self.text_encoder,
            self.query_tokens,
            input_ids=input_ids,
            attention_mask=attention_mask,
            window=WINDOW_FRAMES,
            read=self.focus_network.to_reader,
        )
        tokens: list[VideoTokens] = self.focus_network(
            [video.to(self.device, self.dtype) for video in videos],
            frame_text=frame_text,
            owners=owners,
            plans=plans,
        )
        return tokens
