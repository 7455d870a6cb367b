"""What a worker does: encode a video once and answer all that is asked about it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from dynfocus.bulk.rows import Row, VideoJob
from dynfocus.json_lines import Record
from dynfocus.models.options import LoadOptions
from dynfocus.models.unknown_world import UNKNOWN_WORLD
from dynfocus.text import check_name, round_floats, sentence
from dynfocus.video import show_address
from dynfocus.words.reading import words_from

if TYPE_CHECKING:
    from dynfocus.index import VideoIndex
    from dynfocus.models import Answer, VideoModel

OnStep = Callable[[str, int, int], None]
"""Called with a video, the steps done on it and the steps in all."""
AnswerJob = Callable[[VideoJob, OnStep | None], Iterator[Record]]
"""Gives one record a row of a video."""
MakeAnswerer = Callable[[int], AnswerJob]
"""Makes ready who answers, given the number of the worker; others unpickle it."""
Loader = Callable[[int], "VideoModel"]
OpenVideo = Callable[[str], AbstractContextManager[Any]]
Describe = Callable[[Row, "Answer", "VideoIndex"], Record]
Put = Callable[[Row, "VideoIndex"], str]

FAILURES = (OSError, RuntimeError, SafetensorError, ValueError)
"""What a video or a question can cause; torch runs out of memory as a RuntimeError."""


@dataclass(frozen=True, kw_only=True)
class ModelLoader:
    """Load a model in a worker, without the notes that libraries write meanwhile.

    Where there are several GPUs, the workers of a machine take them in turn.
    """

    name: str
    """``"nano"``, a folder, or a hub id."""
    options: LoadOptions = field(default_factory=LoadOptions)
    """Where it goes, and where its videos are kept."""
    needs: str | None = None
    """One of `Backbone.abilities` that the run cannot do without."""

    def __call__(self, number: int = 0) -> VideoModel:
        """Load the model for the worker of this number."""
        import torch
        from transformers.utils import logging

        import dynfocus

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        given = {k: v for k, v in vars(self.options).items() if v is not None}
        num_gpus = torch.cuda.device_count()
        if num_gpus > 1 and not given.keys() & {"device", "device_map"}:
            given["device"] = f"cuda:{number % num_gpus}"
        model = dynfocus.load(self.name, **given)
        if self.needs is not None:
            model.require(self.needs)
        return model


def open_file(name: str) -> AbstractContextManager[str]:
    """Take the name of a video for that of its file or its address."""
    return nullcontext(check_name(name, "video"))


@dataclass(frozen=True)
class Asker:
    """Ask a model: what a run in bulk hands to each of its workers.

    Args:
        load: Loads the model for the worker of a number. To ask one that is loaded, in
            this process: ``lambda number: model``.
        open_video: Gives for a row's ``video`` what the model can index, while its rows
            are asked; by default it is the name of a file.
        describe: What else the record of an answer says, such as whether it is right;
            called with the row, the answer and the indexed video, of several the first.
        put: Gives what is asked, where that depends on the frames that were sampled, such
            as the subtitles at their times; by default the row's question. Records keep
            the row's question.
        screen: Whether what is written in pictures is read, where a model or its scorer
            goes by words; by default where that is installed.
    """

    load: Loader
    open_video: OpenVideo = open_file
    describe: Describe | None = None
    put: Put | None = None
    screen: bool | None = None

    def __call__(self, number: int = 0) -> AnswerJob:
        """Load the model, and give what answers the rows of a video."""
        return partial(self._answer_job, self.load(number))

    def _answer_job(
        self, model: VideoModel, job: VideoJob, on_step: OnStep | None = None
    ) -> Iterator[Record]:
        """Answer the rows of a video; what fails is told by name.

        Yields:
            One record a row: ``id``, ``video``, ``question``, the row's facts and
            either ``answer``, ``tokens`` and ``seconds``, or what became of the index
            where nothing was asked, or ``error``; ``warnings`` where there were any.
        """
        samplings: dict[tuple[Any, ...], list[Row]] = {}
        for row in job.rows:
            if row.problem:
                yield failure(row, row.problem)
                continue
            key = (*row.options.reading.values(), row.subtitles)
            samplings.setdefault(key, []).append(row)
        with ExitStack() as opened:
            for rows in samplings.values():
                words = self._words_of(rows[0])
                started = time.perf_counter()
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    try:
                        with words():
                            found = [
                                model.index(
                                    opened.enter_context(self.open_video(video)),
                                    **rows[0].options.reading,
                                    progress=on_step
                                    and partial(on_step, show_address(video)),
                                )
                                for video in (job.video, *job.also)
                            ]
                    except FAILURES as error:
                        yield from (failure(row, sentence(error)) for row in rows)
                        continue
                notes = _own_warnings(caught)
                seconds = time.perf_counter() - started
                for row in rows:
                    said = list(notes)
                    if row.question is None:
                        record = _describe_index(row, found, seconds, notes)
                    else:
                        with warnings.catch_warnings(record=True) as caught:
                            warnings.simplefilter("always")
                            with words():
                                record = self._ask(model, found, row)
                        said += _own_warnings(caught)
                    yield record | {"warnings": said} if said else record

    def _words_of(self, row: Row) -> Callable[[], AbstractContextManager[None]]:
        """Say where words of a row's video come from; by default as elsewhere."""
        if not row.subtitles and self.screen is None:
            return nullcontext
        return partial(words_from, row.subtitles, self.screen)

    def _ask(self, model: VideoModel, found: Sequence[VideoIndex], row: Row) -> Record:
        assert row.question is not None
        try:
            answer = model.ask(
                found[0] if len(found) == 1 else list(found),
                row.question if self.put is None else self.put(row, found[0]),
                max_video_tokens=row.options.max_video_tokens,
                word_share=row.options.word_share,
                method=row.options.method,
                max_new_tokens=row.options.max_new_tokens,
            )
        except FAILURES as error:
            return failure(row, sentence(error))
        more = {} if self.describe is None else self.describe(row, answer, found[0])
        if answer.looks is not None:
            more = {"looks": asdict(answer.looks), **more}
        return _facts(row) | {
            "answer": answer.text,
            "tokens": answer.tokens,
            "seconds": round(answer.seconds, 3),
            "best_time": round_floats(answer.best_time),
            **({"best_video": answer.best_video} if len(found) > 1 else {}),
            "confidence": round_floats(answer.confidence),
            **({"word_tokens": answer.word_tokens} if answer.word_tokens else {}),
            **more,
        }


def failure(row: Row, reason: str) -> Record:
    """Make the record of a row without an answer."""
    return _facts(row) | {"error": reason}


def _facts(row: Row) -> Record:
    facts = {"id": row.id, "video": row.shown_video, "question": row.question}
    part = {name: getattr(row.options, name) for name in ("start", "end", "stream")}
    given = {name: value for name, value in part.items() if value is not None}
    return {**facts, **given, **row.facts}


def _describe_index(
    row: Row, found: Sequence[VideoIndex], seconds: float, notes: Sequence[str]
) -> Record:
    """Tell what became of a video, or of several, that were to be indexed alone."""
    entries = [index.entry for index in found if index.entry is not None]
    if len(entries) < len(found):
        reasons = [note for note in notes if UNKNOWN_WORLD not in note]
        reason = reasons[-1] if reasons else "it changed while it was read"
        return failure(row, f"it is not kept: {reason}")
    named = [str(entry) for entry in entries]
    return _facts(row) | {
        "state": "done" if all(index.is_from_disk for index in found) else "new",
        "entry": named if row.also else named[0],
        "num_bytes": sum(entry.stat().st_size for entry in entries),
        "frames": sum(index.num_frames for index in found),
        "seconds": round(seconds, 3),
    }


def _own_warnings(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Give our own warnings, each once."""
    texts = [
        str(one.message)
        for one in caught
        if one.category.__module__.startswith("dynfocus.")
    ]
    return list(dict.fromkeys(texts))
