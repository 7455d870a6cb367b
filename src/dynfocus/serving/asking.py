"""Questions of requests: their videos made ready, their place in the queue, the answer."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dynfocus.models.conversation import Answer, Turn
from dynfocus.models.options import AskOptions
from dynfocus.serving.answering import OnText
from dynfocus.serving.answers import Medium
from dynfocus.serving.failures import ApiError, hide_places
from dynfocus.serving.jobs import Progress
from dynfocus.serving.library import LibraryVideo
from dynfocus.serving.presence import unless_gone
from dynfocus.text import round_floats
from dynfocus.video import SampledFrames

if TYPE_CHECKING:
    from fastapi import Request

    from dynfocus.serving.service import Service

_logger = logging.getLogger(__name__)
_MOST_CHARACTERS = 200_000


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question as a request asks it."""

    text: str
    """The question."""
    media: tuple[LibraryVideo | SampledFrames, ...]
    """What it is about: videos of the library, and pictures."""
    options: AskOptions
    """How it is answered."""
    history: tuple[Turn, ...] = ()
    """Earlier turns."""
    client: str = ""
    """Who asks."""
    is_streamed: bool = True
    """Whether the pieces of the answer are wanted while it is written."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """An answer, and what is to be said beside it."""

    answer: Answer
    """The answer."""
    warnings: Sequence[str] = field(default_factory=list)
    """What was left out or done another way, a sentence each."""

    def to_dict(self) -> dict[str, Any]:
        """Give what ``dynfocus ask --json`` prints of an answer, and the warnings."""
        return {
            **round_floats(self.answer.to_dict()),
            "warnings": [hide_places(one) for one in self.warnings],
        }


async def ask(
    service: Service, question: Question
) -> AsyncIterator[Progress | str | Told]:
    """Answer a question; whoever stops listening frees all that is done for it.

    Args:
        service: What requests share.
        question: The question.

    Yields:
        How far its videos are, pieces of the answer, and at last the answer.

    Raises:
        BusyServerError: Too many questions wait.
        ValueError: The question, an option or a video is wrong.
    """
    _check_length(question)
    if service.settings.protection.logs_questions:
        _logger.info("asked: %r", question.text)
    service.desk.check(question.client)
    await service.check(question.options, len(question.media))
    for one in question.media:
        if not isinstance(one, LibraryVideo):
            continue
        job = await service.videos.indexing(one, question.options)
        if job is None:
            continue
        async with aclosing(job.changes()) as changes:  # type: ignore[type-var]
            async for progress in changes:
                yield progress
        await job.wait()
    shown = [
        service.videos.file_of(one) if isinstance(one, LibraryVideo) else one
        for one in question.media
    ]
    answer = partial(_answer, service, question, shown)
    stream = service.desk.stream(answer, question.client)
    async with aclosing(stream) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            if isinstance(piece, Told):
                service.metrics.note(piece.answer)
            yield piece


def _check_length(question: Question) -> None:
    """Refuse texts that would only keep a tokenizer busy."""
    turns = [(turn.question, turn.answer) for turn in question.history]
    length = len(question.text) + sum(len(text) for turn in turns for text in turn)
    if length > _MOST_CHARACTERS:
        raise ApiError(
            400,
            f"the question and the turns before it have {length:,} characters, and "
            f"{_MOST_CHARACTERS:,} are allowed",
        )


async def ask_in_one(service: Service, question: Question, request: Request) -> Told:
    """Answer a question in one piece, unless whoever asks goes away; see `ask`."""
    question = replace(question, is_streamed=False)
    return await unless_gone(request, _last(service, question))


async def _last(service: Service, question: Question) -> Told:
    async with aclosing(ask(service, question)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            if isinstance(piece, Told):
                return piece
    raise AssertionError("the last piece is the answer")


def _answer(
    service: Service, question: Question, shown: Sequence[Medium], on_text: OnText
) -> Told:
    """Answer in a thread of the desk."""
    has_begun = False

    def pass_on(piece: str) -> None:
        nonlocal has_begun
        if not has_begun:
            piece = piece.lstrip()
        has_begun = has_begun or bool(piece)
        on_text(piece)

    answer, warnings = service.host.call(
        "answer",
        question.text,
        shown,
        question.options,
        question.history,
        question.is_streamed,
        on_text=pass_on,
    )
    return Told(answer=answer, warnings=warnings)
