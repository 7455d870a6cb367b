"""The DynFocus processor: prompts with room for video tokens, frames for the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from dynfocus.focus import FocusBudget, FocusSettings, TokenBudget
from dynfocus.methods.connectors import ConnectorSizes, build_network
from dynfocus.models.video_processor import CLIP_MEAN, CLIP_STD, VideoProcessor


class DynFocusProcessor(VideoProcessor):
    """Prepare prompts, questions and videos for the DynFocus model.

    The number of video tokens depends on the number of frames and the settings
    alone, so the prompt holds their room before the model runs.

    Args:
        tokenizer: The language model's tokenizer; it must know ``<video>``.
        focus: The settings of the dynamic cooperative network, as in the model's
            configuration; the paper's by default.
        connector: What turns patches into tokens, as in the model's configuration:
            ``name``, ``options`` and ``num_patches`` of a frame; DynFocus as it is by
            default.
        frame_size: Side of the frames that the vision tower reads, in pixels.
        image_mean: Mean of each colour, from 0 to 1.
        image_std: Standard deviation of each colour.
        fps: Frames per second that are sampled from a file.
        max_frames: At most so many frames a video, taken evenly.
        question_first: Whether the question of a block also stands before its video
            tokens, so that a causal model reads them with the question in mind. This
            is not in the paper, where it stands behind them only.
        single_turn: Whether the model was trained on single questions, so that the
            turns before a question are left out.
        asks_openly: Whether the model was taught open questions alone, so that one that
            lists options is asked without them, and answered by the likeliest.
        use_question_vocabulary: Whether questions have a tokenizer of their own, as
            the Q-Former of InstructBLIP does; `set_qformer_tokenizer` sets it, and
            it lives in the folder ``qformer_tokenizer``.
        chat_template: The jinja template of conversations.
    """

    def __init__(
        self,
        tokenizer: Any = None,
        focus: FocusSettings | dict[str, Any] | None = None,
        connector: dict[str, Any] | None = None,
        frame_size: int = 224,
        image_mean: Sequence[float] = CLIP_MEAN,
        image_std: Sequence[float] = CLIP_STD,
        fps: float = 1.0,
        max_frames: int | None = None,
        question_first: bool = False,
        single_turn: bool = False,
        asks_openly: bool = False,
        use_question_vocabulary: bool = False,
        chat_template: str | None = None,
    ) -> None:
        super().__init__(
            tokenizer,
            frame_size=frame_size,
            image_mean=image_mean,
            image_std=image_std,
            fps=fps,
            max_frames=max_frames,
            question_first=question_first,
            single_turn=single_turn,
            asks_openly=asks_openly,
            use_question_vocabulary=use_question_vocabulary,
            chat_template=chat_template,
        )
        if not isinstance(focus, FocusSettings):
            focus = FocusSettings.from_dict(focus or {})
        self.focus = focus.to_dict()
        self.connector = connector

    @property
    def settings(self) -> FocusSettings:
        """Give the settings of the dynamic cooperative network."""
        return FocusSettings.from_dict(self.focus)

    @property
    def connector_facts(self) -> dict[str, Any] | None:
        """What it knows of the connector, as the model's configuration."""
        return self.connector

    def budget(self, max_video_tokens: int | None = None) -> TokenBudget:
        """Give what counts the tokens of a video, and fits it into a budget."""
        if self.connector is None:
            most = max_video_tokens
            return FocusBudget(settings=self.settings, max_video_tokens=most)
        sizes = ConnectorSizes(
            num_patches=self.connector["num_patches"], dim=1, text_dim=1, hidden_size=1
        )
        with torch.device("meta"):  # without weights
            network: Any = build_network(
                self.connector["name"], sizes, self.settings, self.connector["options"]
            )
        budget: TokenBudget = network.budget(max_video_tokens)
        return budget
