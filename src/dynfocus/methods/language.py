"""A language model that reads videos through any connector.

Letters: B prompts, L tokens of a prompt, S video tokens, H width of the language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from dynfocus.focus import CountedBudget
from dynfocus.focus.question import Clock
from dynfocus.methods.connectors.interface import (
    ConnectedVideo,
    Connector,
)
from dynfocus.methods.patches import VideoPatches
from dynfocus.models.dynfocus import DynFocusForConditionalGeneration
from dynfocus.models.dynfocus.visual_inputs import place_video_tokens


class ConnectedLanguageModel(PreTrainedModel):  # type: ignore[misc]
    """The parts of a DynFocus model around another connector.

    The text encoder, the language model and the clock are those of ``start``; only the
    connector is fresh. So two systems differ in their connectors alone.

    Args:
        connector: What turns patches into tokens.
        start: The model whose other parts are used; they are not copied.
    """

    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    def __init__(
        self, connector: nn.Module, start: DynFocusForConditionalGeneration
    ) -> None:
        super().__init__(start.language_model.config)
        head = start.focus_network.question_head
        clock = None if head is None else head.clock
        if clock is None:
            raise ValueError(
                "start must have use_clock, got False: without it no connector could "
                "tell the time of its tokens"
            )
        self.connector = connector
        self.text_encoder = start.text_encoder
        self.language_model = start.language_model
        self.clock: Clock = clock
        self.video_token_id = int(start.config.video_token_id)
        self.post_init()

    def get_input_embeddings(self) -> Any:
        """Give the word embeddings of the language model."""
        return self.language_model.get_input_embeddings()

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        count: int = self._connects().num_tokens(num_frames)
        return count

    def prepare(self, video: VideoPatches, max_tokens: int | None = None) -> Any:
        """Do once for a video what does not depend on the question.

        Args:
            video: Its patches.
            max_tokens: At most so many video tokens; as many as the connector makes if
                None.
        """
        if max_tokens is None:
            return self._connects().prepare(video)
        budget = CountedBudget(max_video_tokens=max_tokens, count=self.num_tokens)
        return self._connects().prepare(video, budget.plan(video.num_frames).num_frames)

    def _connects(self) -> Connector:
        return cast("Connector", self.connector)

    def video_tokens(
        self, videos: Sequence[Any], input_ids: Tensor, attention_mask: Tensor
    ) -> list[ConnectedVideo]:
        """Connect videos for their questions.

        Args:
            videos: What the connector's ``prepare`` gave, ``B`` of them.
            input_ids: The questions, shape ``[B, n]``.
            attention_mask: True at their tokens, shape ``[B, n]``.
        """
        text = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask)
        connected: list[ConnectedVideo] = self.connector(
            videos, text.last_hidden_state, attention_mask.bool()
        )
        return connected

    def embed_prompt(
        self, input_ids: Tensor, connected: Sequence[ConnectedVideo]
    ) -> Tensor:
        """Embed prompts ``[B, L]`` with their video tokens in place, ``[B, L, H]``."""
        placeholders = input_ids == self.video_token_id
        words = self.get_input_embeddings()(input_ids.masked_fill(placeholders, 0))
        return place_video_tokens(
            words, placeholders, [self._with_time(video) for video in connected]
        )

    def _with_time(self, video: ConnectedVideo) -> Tensor:
        timed = ~video.pts_seconds.isnan()
        seconds = video.pts_seconds.where(timed, 0)
        return video.embeds + self.clock(seconds) * timed[:, None]

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor | None = None,
        video_features: Sequence[Any] = (),
        qformer_input_ids: Tensor | None = None,
        qformer_attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Predict the next tokens of prompts with one video each."""
        connected: list[ConnectedVideo] = []
        if video_features:
            assert qformer_input_ids is not None
            assert qformer_attention_mask is not None
            connected = self.video_tokens(
                video_features, qformer_input_ids, qformer_attention_mask
            )
        embeds = self.embed_prompt(input_ids, connected)
        return self.language_model(inputs_embeds=embeds, labels=labels, **kwargs)

    @torch.inference_mode()
    def answer(
        self, input_ids: Tensor, connected: ConnectedVideo, max_new_tokens: int
    ) -> Tensor:
        """Generate the tokens of an answer, greedily.

        Args:
            input_ids: The prompt with its placeholders, shape ``[1, L]``.
            connected: The video tokens.
            max_new_tokens: At most so many tokens.
        """
        embeds = self.embed_prompt(input_ids, [connected])
        tokens: Tensor = self.language_model.generate(
            inputs_embeds=embeds,
            attention_mask=torch.ones_like(input_ids),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            suppress_tokens=[self.video_token_id],
        )[0]
        return tokens
