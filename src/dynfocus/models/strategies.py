"""Strategies: how often the video is looked at before a question is answered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from dynfocus.index import VideoGroup, VideoIndex
from dynfocus.models.conversation import (
    Answer,
    BestFrame,
    OnText,
    Turn,
    find_best_frame,
)
from dynfocus.models.options import AskOptions

if TYPE_CHECKING:
    from dynfocus.models.video_model import VideoModel


class Strategy(Protocol):
    """How an answer is found: in one pass, or by looking at the video again."""

    def answer(
        self,
        model: VideoModel,
        video: VideoIndex | VideoGroup,
        question: str,
        options: AskOptions,
        *,
        history: Sequence[Turn] = (),
        on_text: OnText | None = None,
    ) -> Answer:
        """Answer a question about an encoded video.

        Args:
            model: The model, whose parts do the work.
            video: The video; ``video.source`` can be looked at again. Of several videos
                it is None.
            question: The question, checked.
            options: The options, checked.
            history: Earlier turns.
            on_text: Called with each finished piece of the answer.
        """


class OnePass:
    """Write one prompt and answer it."""

    def answer(
        self,
        model: VideoModel,
        video: VideoIndex | VideoGroup,
        question: str,
        options: AskOptions,
        *,
        history: Sequence[Turn] = (),
        on_text: OnText | None = None,
    ) -> Answer:
        """Answer a question about an encoded video; see `Strategy.answer`."""
        started = time.perf_counter()
        turn = model.prepare(video, question, options, history)
        written = model.generator.generate(
            turn, options.max_new_tokens, on_text, stop=options.stop
        )
        best = BestFrame(None, None)
        if model.scores_see_question:
            best = find_best_frame(turn.frames)
        return Answer(
            text=written.text,
            question=question,
            tokens=sum(frame.tokens for frame in turn.frames),
            frames=turn.frames,
            seconds=time.perf_counter() - started,
            best_time=best.time,
            best_video=best.video,
            confidence=written.confidence,
            finish_reason=written.finish_reason,
            prompt_tokens=written.prompt_tokens,
            answer_tokens=written.num_tokens,
            word_tokens=turn.word_tokens,
            words=list(turn.words),
        )


one_pass = OnePass()
"""The strategy of DynFocus and of plugged models."""
