"""Questions answered beside the model, with the videos that they are about held open."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from dynfocus.models.conversation import Answer, FrameReport, Turn
from dynfocus.models.options import AskOptions
from dynfocus.serving.noted import noted_warnings
from dynfocus.serving.reading import called
from dynfocus.video import SampledFrames

if TYPE_CHECKING:
    from dynfocus.index import VideoIndex
    from dynfocus.serving.answerers import Answerer
    from dynfocus.serving.answering import OnText

_LOOK_SECONDS = 0.25
_MOST_OPEN = 64
_MOST_BYTES = 4 * 2**30
"""What is held of videos whose model keeps no index on disk."""


@dataclass(frozen=True)
class VideoFile:
    """A video that is asked about, where it lies."""

    path: Path
    """Its file."""
    name: str
    """What people call it."""


Medium: TypeAlias = VideoFile | SampledFrames


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What is to be known of a model that is somewhere else."""

    methods: tuple[str, ...]
    """Names that ``method`` accepts."""
    abilities: frozenset[str]
    """What it can beyond answering."""
    scores_see_question: bool
    """Whether the scores of frames depend on the question."""
    has_store: bool
    """Whether it keeps an index on disk."""


@dataclass(frozen=True)
class _Open:
    """A video that is held open."""

    index: VideoIndex
    warnings: tuple[str, ...]
    """What was said when it was opened."""
    num_bytes: int
    """What it takes in memory, of one that is on no disk."""


class Answers:
    """Answer questions, and keep what was opened for them.

    Args:
        model: What answers.
    """

    def __init__(self, model: Answerer) -> None:
        self.model = model
        self._open: OrderedDict[tuple[Any, ...], _Open] = OrderedDict()
        self._too_large: set[tuple[Any, ...]] = set()
        self._lock = threading.Lock()

    def facts(self) -> ModelFacts:
        """Tell what others have to know of the model."""
        model = self.model
        return ModelFacts(
            methods=tuple(model.methods),
            abilities=model.abilities,
            scores_see_question=model.scores_see_question,
            has_store=model.store is not None,
        )

    def check(self, num_videos: int, options: AskOptions) -> None:
        """Refuse options that cannot be followed, before any work.

        Raises:
            ValueError: One is wrong.
        """
        self.model.check(num_videos=num_videos, **vars(options))

    def is_indexed(self, video: VideoFile, options: AskOptions) -> bool:
        """Open the index of a video, if it is on disk; tells whether it is."""
        key = key_of(video, options)
        if key in self._open:
            return True
        with self._lock, noted_warnings() as notes:
            found = self.model.find_index(video.path, **options.reading)
            if found is not None:
                self._hold(key, video, found, notes)
        return found is not None

    def answer(
        self,
        question: str,
        media: Sequence[Medium],
        options: AskOptions,
        history: Sequence[Turn],
        is_streamed: bool,
        on_text: OnText,
    ) -> tuple[Answer, list[str]]:
        """Answer a question.

        Args:
            question: The question.
            media: What it is about.
            options: How it is answered.
            history: The turns before it.
            is_streamed: Whether pieces of the answer are told; else each is an empty text.
            on_text: Called with each piece of the answer, and with an empty text while
                it is waited for; what it raises ends the work.

        Returns:
            The answer, and what is to be said beside it.
        """
        shown, said = self._show(media, options, on_text)
        with noted_warnings() as notes:
            chat = self.model.chat(
                shown if len(shown) > 1 else shown[0],
                progress=lambda *_: on_text(""),
                **vars(options),
            )
            chat.turns += history
            told = on_text if is_streamed else lambda _: on_text("")
            answer = chat.ask(question, on_text=told)
        return answer, list(dict.fromkeys([*said, *notes]))

    def score_frames(
        self, question: str, video: VideoFile, options: AskOptions, on_text: OnText
    ) -> list[FrameReport]:
        """Tell what a question makes of each frame; no answer is written."""
        (shown,), _ = self._show([video], options, on_text)
        return self.model.score_frames(
            shown, question, progress=lambda *_: on_text(""), **vars(options)
        )

    def forget(self, video: VideoFile) -> None:
        """Forget a video, and its index on disk."""
        with self._lock:
            for key in [key for key in self._open if key[0] == video.path]:
                del self._open[key]
        source = str(video.path.resolve())
        for entry in () if self.model.store is None else self.model.store.entries():
            if entry.facts is not None and entry.facts.source == source:
                entry.path.unlink(missing_ok=True)

    def _show(
        self, media: Sequence[Medium], options: AskOptions, on_text: OnText
    ) -> tuple[list[Any], list[str]]:
        """Give what a model is asked about, and what was said when it was opened."""
        opened = [
            self._opened(one, options, on_text) if isinstance(one, VideoFile) else one
            for one in media
        ]
        said = [t for one in opened if isinstance(one, _Open) for t in one.warnings]
        return [one.index if isinstance(one, _Open) else one for one in opened], said

    def _opened(
        self, video: VideoFile, options: AskOptions, on_text: OnText
    ) -> _Open | Path:
        """Give the index of a video; its file, where there can be none or it is too large."""
        key = key_of(video, options)
        if not self.model.has_index or key in self._too_large:
            return video.path
        while not self._lock.acquire(timeout=_LOOK_SECONDS):  # each is opened once
            on_text("")
        try:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
            with noted_warnings() as notes:
                index = self.model.index(
                    video.path, progress=lambda *_: on_text(""), **options.reading
                )
            return self._hold(key, video, index, notes)
        finally:
            self._lock.release()

    def _hold(
        self,
        key: tuple[Any, ...],
        video: VideoFile,
        index: VideoIndex,
        notes: Sequence[str],
    ) -> _Open:
        told = tuple(called(video.name, video.path, one) for one in notes)
        num_bytes = 0 if index.is_from_disk else _count_bytes(index.features)
        opened = _Open(index, told, num_bytes)
        if num_bytes > _MOST_BYTES:
            self._too_large.add(key)
            return opened
        self._open[key] = opened
        while (
            len(self._open) > _MOST_OPEN
            or sum(one.num_bytes for one in self._open.values()) > _MOST_BYTES
        ):
            self._open.popitem(last=False)
        return opened


def key_of(video: VideoFile, options: AskOptions) -> tuple[Any, ...]:
    """Tell what the index of a video goes by: its content, and how it is read."""
    try:
        status = video.path.stat()
    except OSError:
        return (video.path, None)
    return video.path, status.st_size, status.st_mtime_ns, *options.reading.values()


def _count_bytes(features: Any) -> int:
    """Count the bytes of the tensors of a video that is held in memory."""
    tensors = (one for one in vars(features).values() if isinstance(one, torch.Tensor))
    return sum(tensor.nbytes for tensor in tensors)
