"""What all our models do: a vision tower, a network, and a language model that reads.

Letters: V videos, T frames, F frames in a window, N patches, P event tokens, M spatial
prototypes, D width of the vision tower, B prompts, L text tokens, n question tokens,
D_q width of the text encoder, H width of the language model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import torch
import transformers
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    GenerationMixin,
    InstructBlipQFormerModel,
    PreTrainedModel,
)
from transformers import initialization as init
from transformers.modeling_outputs import CausalLMOutputWithPast

from dynfocus.focus import (
    FrameEncoding,
    TokenPlan,
    VideoFeatures,
    VideoTokens,
)
from dynfocus.focus.features import WINDOW_FRAMES
from dynfocus.methods.towers import WrappedTower
from dynfocus.models.conversation import FrameKind
from dynfocus.models.video_config import VideoConfig
from dynfocus.models.vision import (
    build_vision_tower,
)
from dynfocus.models.visual_inputs import (
    VideoInputs,
    check_question_length,
    place_video_tokens,
    unread_places,
)

CACHE_NAMES = ("cache", "past_key_values")
"""What transformers calls the cache of earlier steps, from 5.24 on and before."""
CACHE_NAME = next(
    field.name for field in fields(CausalLMOutputWithPast) if field.name in CACHE_NAMES
)
"""What the installed transformers calls it."""


@dataclass
class VideoCausalLMOutputWithPast(CausalLMOutputWithPast):  # type: ignore[misc]
    """What one pass gives: the language model's output and the video tokens it read."""

    video_tokens: list[VideoTokens] | None = None
    """One entry a block, in reading order; only when the pass saw video."""

    @classmethod
    def of(cls, outputs: Any, video_tokens: list[VideoTokens]) -> Self:
        """Add video tokens to what the language model gave."""
        return cls(**outputs, video_tokens=video_tokens or None)


class VideoLanguageModel(PreTrainedModel, GenerationMixin, ABC):  # type: ignore[misc]
    """Answer questions about videos; each kind of model derives from it.

    The vision tower does not depend on the question; `encode_video` computes what comes
    before it once. A network turns that and the question into video tokens, which take
    the places of the placeholders in the prompt.
    """

    frame_kinds: ClassVar[tuple[FrameKind, FrameKind]] = ("rod", "cone")
    """What frames are called in an answer: the coarse or the fine ones."""
    fits_context: ClassVar[bool] = False
    """Whether frames are left out where all would not fit what the model can read."""
    time_grid: ClassVar[int | None] = None
    """In how many steps of a video the model writes times; None for seconds."""
    main_input_name = "input_ids"
    input_modalities = ("video", "text")
    supports_gradient_checkpointing = True
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_attention_backend = True
    _skip_keys_device_placement: ClassVar[list[str]] = list(CACHE_NAMES)

    def __init__(self, config: VideoConfig) -> None:
        super().__init__(config)
        self.settings: Any = config.focus_settings
        self.vision_tower: Any = self.build_tower()
        self.text_encoder = InstructBlipQFormerModel(config.qformer_config)
        self.query_tokens: nn.Parameter | None = None
        if self.reads_frames:
            width = config.qformer_config.hidden_size
            queries = torch.zeros(1, config.num_query_tokens, width)
            self.query_tokens = nn.Parameter(queries)
        self.focus_network: Any = self.build_network()
        self.language_model = AutoModelForCausalLM.from_config(
            config.text_config, dtype=torch.get_default_dtype()
        )
        self.post_init()
        if config.video_token_id is not None:
            self.generation_config.suppress_tokens = [config.video_token_id]

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all parts; a frozen tower stays as it answers.

        The statistics of a convolutional tower would else go on changing.
        """
        super().train(mode)
        if not any(weight.requires_grad for weight in self.vision_tower.parameters()):
            self.vision_tower.eval()
        return self

    @property
    @abstractmethod
    def reads_frames(self) -> bool:
        """Tell whether the Q-Former's queries read every frame, with the question."""

    def build_tower(self) -> nn.Module:
        """Build the vision tower, untrained."""
        tower: nn.Module = build_vision_tower(self.config.vision_config)
        return tower

    @property
    def encodes_together(self) -> bool:
        """Tell whether frames of a window must be of one video: a tower method's."""
        return isinstance(self.vision_tower, WrappedTower)

    @abstractmethod
    def build_network(self) -> nn.Module:
        """Build what stands between the vision tower and the language model."""

    @abstractmethod
    def encode_frames(self, pixel_values: Tensor) -> FrameEncoding:
        """Encode some frames, each by itself.

        Args:
            pixel_values: Normalised frames, shape ``[F, 3, H, W]``.

        Returns:
            What the network knows of them before a question.
        """

    @abstractmethod
    def focus(
        self,
        videos: Sequence[VideoFeatures],
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        owners: Sequence[int] | None = None,
        plans: Sequence[TokenPlan] | None = None,
    ) -> list[VideoTokens]:
        """Turn encoded videos and questions into video tokens.

        Args:
            videos: The videos.
            input_ids: The questions, shape ``[B, n]``.
            attention_mask: True at their tokens, shape ``[B, n]``.
            owners: The video of each question; question i is about video i by default.
            plans: The frames of each video that have tokens, and the Cones among them.

        Returns:
            The video tokens for each question.
        """

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self and self.query_tokens is not None:
            init.normal_(self.query_tokens, std=self.config.initializer_range)

    def get_input_embeddings(self) -> Any:
        """Give the word embeddings of the language model."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings of the language model."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> Any:
        """Give the language model's head."""
        return self.language_model.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the language model's head."""
        self.language_model.set_output_embeddings(new_embeddings)

    @torch.no_grad()
    def encode_video(
        self,
        pixel_values: Tensor,
        pts_seconds: Tensor | Sequence[float],
        window: int = WINDOW_FRAMES,
    ) -> VideoFeatures:
        """Encode a video once, for any number of questions.

        Args:
            pixel_values: Normalised frames, shape ``[T, 3, H, W]``.
            pts_seconds: Presentation time of every frame, shape ``[T]``.
            window: Frames that go through the vision tower together.

        Returns:
            The question-independent half.
        """
        parts = [
            self.encode_frames(pixel_values[start : start + window])
            for start in range(0, len(pixel_values), window)
        ]
        return self.focus_network.add_events(VideoFeatures.join(parts, pts_seconds))

    def encode_question(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Read the question of each block with the text half of the Q-Former.

        Args:
            input_ids: The questions, shape ``[B, n]``.
            attention_mask: True at their tokens, shape ``[B, n]``.

        Returns:
            Text features, shape ``[B, n, D_q]``.
        """
        limit = self.config.qformer_config.max_position_embeddings
        check_question_length(input_ids, limit)
        outputs = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask)
        return outputs.last_hidden_state

    def _videos(self, inputs: VideoInputs) -> list[VideoFeatures]:
        counts = inputs.frame_counts()
        if inputs.video_features is not None:
            return list(inputs.video_features)
        pixels, times = inputs.pixel_values_videos, inputs.video_pts_seconds
        assert pixels is not None  # frame_counts has checked both
        assert times is not None
        apart = torch.split(pixels, counts) if self.encodes_together else [pixels]
        parts = [
            self.encode_frames(window)
            for own in apart
            for window in torch.split(own, WINDOW_FRAMES)
        ]
        packed = replace(VideoFeatures.join(parts, times), is_high=inputs.video_is_high)
        frames = torch.split(torch.arange(packed.num_frames), counts)
        durations = inputs.video_durations
        known = [0.0] * len(counts) if durations is None else durations.tolist()
        return [
            replace(packed.take(own), duration=length or None)
            for own, length in zip(frames, known, strict=True)
        ]

    def embed_prompt(
        self, input_ids: Tensor, inputs: VideoInputs
    ) -> tuple[Tensor, list[VideoTokens]]:
        """Embed prompts and put their video tokens in place.

        Args:
            input_ids: The prompts with their placeholders, shape ``[B, L]``.
            inputs: The video inputs of the pass.

        Returns:
            Embedded prompts ``[B, L, H]`` and the video tokens of each block.
        """
        tokens: list[VideoTokens] = []
        rooms: list[int] = []
        if inputs.has_video:
            budget = self.focus_network.budget()
            tokens = self.focus(
                self._videos(inputs),
                *inputs.questions(),
                owners=inputs.owners(),
                plans=inputs.plans(budget),
            )
            rooms = inputs.rooms(budget, tokens)
        return self.place(input_ids, tokens, rooms), tokens

    def place(
        self,
        input_ids: Tensor,
        tokens: Sequence[VideoTokens],
        rooms: list[int] | None = None,
    ) -> Tensor:
        """Embed prompts ``[B, L]``, with video tokens at their placeholders.

        Args:
            input_ids: The prompts with their placeholders.
            tokens: The tokens of each block.
            rooms: Placeholders of each block, where they may be more than its tokens.
        """
        placeholders = self._placeholders(input_ids)
        embeds = self.get_input_embeddings()(input_ids.masked_fill(placeholders, 0))
        blocks = [block.embeds for block in tokens]
        return place_video_tokens(embeds, placeholders, blocks, rooms)

    def read_mask(
        self,
        input_ids: Tensor,
        inputs: VideoInputs,
        tokens: Sequence[VideoTokens],
        attention_mask: Tensor | None,
    ) -> Tensor | None:
        """Leave the room that videos did not fill out of what is read.

        Args:
            input_ids: The prompts with their placeholders, shape ``[B, L]``.
            inputs: The video inputs of the pass.
            tokens: What `embed_prompt` made of them.
            attention_mask: True at the prompts' tokens, ``[B, L]``; None for all.

        Returns:
            The mask, ``[B, L]``; as it was where videos fill their rooms.
        """
        lengths = [len(block.embeds) for block in tokens]
        rooms = inputs.rooms(self.focus_network.budget(), tokens)
        if lengths == rooms:
            return attention_mask
        unread = unread_places(self._placeholders(input_ids), lengths, rooms)
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        return attention_mask.masked_fill(unread, 0)

    def _placeholders(self, input_ids: Tensor) -> Tensor:
        token = self.config.video_token_id
        return input_ids == (-1 if token is None else token)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        video_num_frames: Tensor | None = None,
        video_pts_seconds: Tensor | None = None,
        video_is_high: Tensor | None = None,
        video_durations: Tensor | None = None,
        video_features: Sequence[VideoFeatures] | None = None,
        block_videos: Tensor | None = None,
        qformer_input_ids: Tensor | None = None,
        qformer_attention_mask: Tensor | None = None,
        video_plans: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> VideoCausalLMOutputWithPast:
        """Predict the next tokens of prompts with videos.

        `VideoInputs` explains the video inputs; ``inputs_embeds`` are prompts that
        `embed_prompt` gave; the others are those of every causal language model, whose
        ``cache`` transformers before 5.24 call ``past_key_values``. The output also
        holds the video tokens that this pass placed.
        """
        cache = past_key_values if cache is None else cache
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("exactly one of input_ids and inputs_embeds must be given")
        tokens: list[VideoTokens] = []
        if input_ids is not None:
            is_prefill = not cache or cache.get_seq_length() == 0
            if is_prefill or pixel_values_videos is not None or video_features:
                inputs = VideoInputs(
                    pixel_values_videos=pixel_values_videos,
                    video_num_frames=video_num_frames,
                    video_pts_seconds=video_pts_seconds,
                    video_is_high=video_is_high,
                    video_durations=video_durations,
                    video_features=video_features,
                    block_videos=block_videos,
                    qformer_input_ids=qformer_input_ids,
                    qformer_attention_mask=qformer_attention_mask,
                    video_plans=video_plans,
                )
                inputs_embeds, tokens = self.embed_prompt(input_ids, inputs)
                read = self.read_mask(input_ids, inputs, tokens, attention_mask)
                if read is not None and read is not attention_mask:
                    attention_mask = read
                    position_ids = (read.cumsum(1) - 1).clamp(min=0)
            else:
                inputs_embeds = self.get_input_embeddings()(input_ids)
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            labels=labels,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            **{**kwargs, CACHE_NAME: cache, "return_dict": True},
        )
        return VideoCausalLMOutputWithPast.of(outputs, tokens)

    def generate(self, inputs: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        """Continue prompts, as every model of transformers does.

        Videos whose number of tokens depends on their content are read first, so that
        every step knows which places of the prompts hold nothing.

        Args:
            inputs: The prompts with their placeholders, or ``input_ids``.
            *args: What transformers takes.
            **kwargs: What transformers takes, and the video inputs.
        """
        ids = kwargs.get("input_ids", inputs)
        if ids is not None and self.focus_network.budget().varies:
            kwargs = self._read_first(ids, kwargs)
        return super().generate(inputs, *args, **kwargs)

    @torch.no_grad()
    def _read_first(self, input_ids: Tensor, given: dict[str, Any]) -> dict[str, Any]:
        """Put embedded prompts in the place of the video inputs, if there are any."""
        video = VideoInputs.of(given)
        if not video.has_video:
            return given
        embeds, tokens = self.embed_prompt(input_ids, video)
        mask = self.read_mask(input_ids, video, tokens, given.get("attention_mask"))
        kept = {k: v for k, v in given.items() if k not in video.names()}
        return kept | {"inputs_embeds": embeds, "attention_mask": mask}

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        inputs_embeds: Tensor | None = None,
        attention_mask: Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Choose the inputs of one generation step; video is read in the first only.

        Args:
            input_ids: The tokens so far, shape ``[B, L]``.
            inputs_embeds: Prompts embedded before.
            attention_mask: True at real tokens, shape ``[B, L]``.
            is_first_iteration: Whether this step reads the prompt.
            **kwargs: The other inputs, the cache of earlier steps among them.

        Returns:
            The arguments of `forward`.
        """
        model_inputs: dict[str, Any] = super().prepare_inputs_for_generation(
            input_ids,
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )
        if not is_first_iteration and kwargs.get("use_cache", True):
            for name in VideoInputs.names():
                model_inputs.pop(name, None)
        return model_inputs

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[Tensor | None, dict[str, Any]]:
        """Repeat the prompts for beams; videos stay single, blocks follow prompts."""
        video = {n: model_kwargs.pop(n, None) for n in VideoInputs.names()}
        if expand_size > 1 and input_ids is not None:
            video = VideoInputs(**video).repeat_blocks(
                self._placeholders(input_ids), expand_size, self.focus_network.budget()
            )
        input_ids, model_kwargs = super()._expand_inputs_for_generation(
            expand_size=expand_size,
            is_encoder_decoder=is_encoder_decoder,
            input_ids=input_ids,
            **model_kwargs,
        )
        given = {name: value for name, value in video.items() if value is not None}
        return input_ids, {**model_kwargs, **given}


def register_classes(config: Any, model: Any, processor: Any) -> None:
    """Make the classes of a kind of model known to the Auto classes."""
    AutoConfig.register(config.model_type, config)
    AutoProcessor.register(config, processor)
    AutoModelForImageTextToText.register(config, model)
    if hasattr(transformers, "AutoModelForMultimodalLM"):  # since transformers 5.0
        transformers.AutoModelForMultimodalLM.register(config, model)
