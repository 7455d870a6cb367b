"""A plugged vision language model as the backbone of a `VideoModel`.

Letters: S steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor

from dynfocus.focus import HostBudget, uniform_indices
from dynfocus.focus.tokens import ConeTokens
from dynfocus.index import VideoIndex
from dynfocus.methods import (
    FrameScorer,
    KeptStep,
    Selector,
    find_selector,
    find_selectors,
    num_steps_read,
    spend,
)
from dynfocus.methods.regions import compare_regions
from dynfocus.models.conversation import Answer, PreparedTurn, Turn, check_count
from dynfocus.models.encoding import Progress
from dynfocus.models.options import AskOptions
from dynfocus.plugins.encoding import HostEncoder
from dynfocus.plugins.family import Family, FramePlan
from dynfocus.plugins.host_video import HostVideo
from dynfocus.plugins.prompts import fill, lay_out
from dynfocus.plugins.reports import report_steps


class HostBackbone:
    """Turn videos and questions into prompts of a host, within a budget of video tokens.

    Args:
        family: The host.
        method: One of `dynfocus.methods.SELECTORS`.
        max_video_tokens: The budget.
        scorer: What compares frames with questions, if anything does.
        cone_tokens: Tokens of a Cone.
        name: What the model is called in messages.
    """

    abilities: frozenset[str] = frozenset()
    is_nano = False
    store = None

    def __init__(
        self,
        family: Family,
        *,
        method: str,
        max_video_tokens: int,
        scorer: FrameScorer | None,
        cone_tokens: ConeTokens,
        name: str,
    ) -> None:
        self.family = family
        self.model = family.model.eval()
        self.processor = family.processor
        self.name = name
        self.marks = (family.video_mark,)
        self._scorer = scorer
        self._selector = self._find(method)
        self._max_video_tokens = max_video_tokens
        self._cone_tokens = cone_tokens
        self._encoder = HostEncoder(family, scorer)
        check_count("max_video_tokens", max_video_tokens)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the selectors, those of other packages too."""
        return tuple(sorted(find_selectors()))

    @property
    def scores_see_question(self) -> bool:
        """Tell whether the scores of frames depend on the question."""
        return self._scorer is not None

    def check(self, options: AskOptions) -> None:
        """Refuse a method that there is not, or that needs a scorer."""
        self._find(options.method)

    def index(
        self, video: Any, options: AskOptions, progress: Progress | None
    ) -> VideoIndex:
        """Encode a video once, for any number of questions, methods and budgets.

        The host's tokens of all frames take the place of the file.
        """
        if isinstance(video, VideoIndex):
            return video
        return self._encoder.encode(
            video,
            fps=options.fps,
            max_frames=options.max_frames,
            is_windowed=self._selector.rest != "whole",
            progress=progress,
        )

    def encode(
        self, video: Any, options: AskOptions, progress: Progress | None
    ) -> VideoIndex:
        """Encode a video unless it is encoded, no more frames than will be kept."""
        selector, max_frames = self._find(options.method), options.max_frames
        if isinstance(video, VideoIndex):
            if max_frames is None:
                return video
            most = -(-max_frames // self.family.frames_per_step)
            rows = uniform_indices(video.num_frames, min(video.num_frames, most))
            return replace(video, features=video.features.take(rows), thumbnails=None)

        def budget(plan: FramePlan) -> HostBudget:
            return self._budget(plan.num_tokens, options.max_video_tokens)

        return self._encoder.encode(
            video,
            fps=options.fps,
            max_frames=max_frames,
            budget=budget,
            thin=partial(num_steps_read, selector),
            is_windowed=selector.rest != "whole",
            progress=progress,
        )

    def select(
        self,
        video: HostVideo,
        question: str,
        max_video_tokens: int | None = None,
        method: str | None = None,
    ) -> tuple[HostVideo, list[KeptStep]]:
        """Spend a budget on a video.

        Args:
            video: What `index` gave.
            question: The question.
            max_video_tokens: The budget, in place of the model's own.
            method: One of `dynfocus.methods.SELECTORS`, in place of the model's own.

        Returns:
            The steps that are kept, and what is kept of each.
        """
        budget = self._budget(video.tokens_per_step, max_video_tokens)
        similarity = None
        if self._scorer is not None:
            similarity = compare_regions(
                self._scorer,
                video.regions,
                question,
                grid=video.grid,
                num_front=video.num_front,
            )
        with torch.inference_mode():
            return spend(self._find(method), budget, video, similarity)

    def write(
        self,
        video: HostVideo,
        kept: Sequence[KeptStep],
        question: str,
        history: Sequence[Turn] = (),
    ) -> PreparedTurn:
        """Write the host's prompt with what is kept of a video.

        Args:
            video: The steps that `select` gave.
            kept: What it kept of each.
            question: The question.
            history: Earlier turns.
        """
        ids = lay_out(self.family, video, question, history)
        inputs = fill(self.family, video, ids, kept)
        return PreparedTurn(
            question=question,
            history=tuple(history),
            frames=report_steps(video, kept),
            input_ids=inputs.input_ids,
            embeds=inputs.inputs_embeds,
            placeholder=self.family.placeholder,
            position_ids=inputs.position_ids,
            layers=inputs.layers,
        )

    def prepare(
        self,
        video: VideoIndex,
        question: str,
        options: AskOptions,
        history: Sequence[Turn],
    ) -> PreparedTurn:
        """Spend the budget on a video and write the prompt of a question about it."""
        method, budget = options.method, options.max_video_tokens
        thinned, kept = self.select(video.features, question, budget, method)
        return self.write(thinned, kept, question, history)

    def generate(self, turn: PreparedTurn, **options: Any) -> Tensor:
        """Continue a prompt; gives the new tokens, ``[1, L]``."""
        tokenizer, config = self.processor.tokenizer, self.model.generation_config
        if config.pad_token_id is None:
            options["pad_token_id"] = tokenizer.pad_token_id or tokenizer.eos_token_id
        if config.eos_token_id is None:
            options["eos_token_id"] = tokenizer.eos_token_id
        output: Tensor = self.run(turn, **options)
        return output[:, turn.input_ids.shape[1] :]

    def run(self, turn: PreparedTurn, **options: Any) -> Any:
        """Let the host's own ``generate`` continue a prompt.

        Args:
            turn: What `write` gave.
            **options: What ``generate`` accepts.

        Returns:
            What ``generate`` gives; its sequences begin with the prompt.
        """
        if turn.position_ids is not None:
            options["position_ids"] = turn.position_ids
        with self.family.prefill(turn.is_visual, turn.layers) as given:
            return self.model.generate(
                input_ids=turn.input_ids,
                inputs_embeds=turn.embeds,
                attention_mask=turn.attention_mask,
                **{**given, **options},
            )

    def map_prototypes(self, video: Any, answer: Answer, num_frames: int) -> NoReturn:
        """Have none to show; `VideoModel.require` says so."""
        raise NotImplementedError

    def frame_encoder(self) -> NoReturn:
        """Have none; `VideoModel.require` says so."""
        raise NotImplementedError

    def _find(self, method: str | None) -> Selector:
        if method is None:
            return self._selector
        return find_selector(method, has_scorer=self._scorer is not None)

    def _budget(self, tokens_per_step: int, max_video_tokens: int | None) -> HostBudget:
        if max_video_tokens is None:
            max_video_tokens = self._max_video_tokens
        return HostBudget(
            max_video_tokens=max_video_tokens,
            tokens_per_step=tokens_per_step,
            num_tail=len(self.family.tail()),
            cone_tokens=self._cone_tokens,
        )
