"""The DynFocus model: vision tower, dynamic cooperative network, language model.

Letters: F frames in a window, D_q width of the text encoder, n question tokens, B
questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers import initialization as init

from dynfocus.focus import FrameEncoding, TokenPlan, VideoFeatures, VideoTokens
from dynfocus.focus.features import WINDOW_FRAMES
from dynfocus.methods.connectors import build_network
from dynfocus.models.dynfocus.configuration_dynfocus import DynFocusConfig
from dynfocus.models.video_language_model import VideoLanguageModel
from dynfocus.models.vision import ask_frames, encode_pixels, map_parts, wrap_tower


class DynFocusForConditionalGeneration(VideoLanguageModel):
    """Answer questions about videos with few tokens.

    The vision tower and the prototypes of a video do not depend on the question;
    `encode_video` computes them once. The text encoder, the selection of events and
    the cooperative encoding turn them into video tokens, which take the places of
    the placeholders in the prompt.
    """

    config_class = DynFocusConfig
    base_model_prefix = "dynfocus"
    _no_split_modules: ClassVar[list[str]] = [
        "InstructBlipEncoderLayer",
        "InstructBlipQFormerLayer",
        "EventPrototypes",
        "SpatialPrototypes",
        "CooperativeEncoding",
    ]

    @property
    def reads_frames(self) -> bool:
        """Tell whether the Q-Former's queries read every frame, with the question."""
        return bool(self.config.text_side == "frame_queries")

    def build_tower(self) -> nn.Module:
        """Build the vision tower, behind a tower method if there is one."""
        config = self.config
        if config.tower_method is None:
            return super().build_tower()
        return wrap_tower(
            config.vision_config, config.tower_method, config.tower_options
        )

    def build_network(self) -> nn.Module:
        """Build a `FocusNetwork`, or what is like one."""
        config = self.config
        return build_network(
            config.connector,
            config.connector_sizes,
            self.settings,
            config.connector_options,
        )

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        head = self.focus_network.question_head if module is self else None
        if head is not None and head.clock is not None:
            tables = head.clock.draw_tables(self.config.initializer_range)
            init.copy_(head.clock.tables.weight, tables)

    def encode_frames(self, pixel_values: Tensor) -> FrameEncoding:
        """Encode some frames, each by itself unless a tower method reads them together.

        Args:
            pixel_values: Normalised frames, shape ``[F, 3, H, W]``; for a tower method
                of one video.

        Returns:
            Pooled patches, spatial prototypes and, for ``text_side="frame_queries"``
            only, normalised patches.
        """
        patches = encode_pixels(self.vision_tower, pixel_values)
        encoded = map_parts(self.focus_network.encode, patches.content)
        if self.reads_frames:
            return encoded._replace(patches=patches.normalised)
        return encoded

    def focus(
        self,
        videos: Sequence[VideoFeatures],
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        owners: Sequence[int] | None = None,
        plans: Sequence[TokenPlan] | None = None,
    ) -> list[VideoTokens]:
        """Turn encoded videos and questions into video tokens; see `VideoLanguageModel`."""
        frame_text, question = None, None
        if self.query_tokens is not None:  # each frame reads the question
            frame_text = partial(
                ask_frames,
                self.text_encoder,
                self.query_tokens,
                input_ids=input_ids,
                attention_mask=attention_mask,
                window=WINDOW_FRAMES,
            )
        if frame_text is None or self.settings.extensions.use_question_scores:
            question = self.encode_question(input_ids, attention_mask)
        tokens: list[VideoTokens] = self.focus_network(
            [video.to(self.device, self.dtype) for video in videos],
            question,
            attention_mask.bool(),
            owners=owners,
            plans=plans,
            frame_text=frame_text,
        )
        return tokens
