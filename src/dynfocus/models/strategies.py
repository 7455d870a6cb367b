"""Strategies: how often the video is looked at before a question is answered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """A question about an encoded video, checked."""

    video: VideoIndex | VideoGroup
    """The video; ``video.source`` can be looked at again. Of several videos it is None."""
    question: str
    """The question."""
    options: AskOptions
    """How it is answered."""
    history: Sequence[Turn] = ()
    """Earlier turns."""
    on_text: OnText | None = None
    """Called with each finished piece of the answer."""


class Strategy(Protocol):
    """How an answer is found: in one pass, or by looking at the video again."""

    def answer(self, model: VideoModel, asked: Asked) -> Answer:
        """Answer a question about an encoded video.

        Args:
            model: The model, whose parts do the work.
            asked: What is asked.
        """


class OnePass:
    """Write one prompt and answer it."""

    def answer(self, model: VideoModel, asked: Asked) -> Answer:
        """Answer a question about an encoded video; see `Strategy.answer`."""
        started = time.perf_counter()
        turn = model.prepare(asked.video, asked.question, asked.options, asked.history)
        written = model.generator.generate(turn, asked.options, asked.on_text)
        best = BestFrame(None, None)
        if model.scores_see_question:
            best = find_best_frame(turn.frames)
        return Answer(
            text=written.text,
            question=asked.question,
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
