"""What a worker does: encode a video once and answer all that is asked about it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dynfocus.bulk.answers_file import Record
from dynfocus.bulk.rows import BulkRow, VideoJob

if TYPE_CHECKING:
    from dynfocus.index import VideoIndex
    from dynfocus.models import VideoModel

Loader = Callable[[int], "VideoModel"]
"""Loads the model, given the number of the worker; other processes unpickle it."""

_FAILURES = (ValueError, OSError, RuntimeError)
"""What a video or a question can cause; torch runs out of memory as a RuntimeError."""


@dataclass(frozen=True)
class ModelLoader:
    """Load a model in a worker, without the notes that libraries write meanwhile.

    Where there are several GPUs, the workers of a machine take them in turn.

    Args:
        name: ``"nano"``, a folder, or a hub id.
        options: What else `dynfocus.load` takes, by name; ``dtype`` as a word.
    """

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def __call__(self, number: int = 0) -> VideoModel:
        """Load the model for the worker of this number."""
        import torch
        from transformers.utils import logging

        import dynfocus

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        options = dict(self.options)
        num_gpus = torch.cuda.device_count()
        if num_gpus > 1 and not options.keys() & {"device", "device_map"}:
            options["device"] = f"cuda:{number % num_gpus}"
        return dynfocus.load(self.name, **options)


def answer_job(model: VideoModel, job: VideoJob) -> Iterator[Record]:
    """Answer the rows of a video; what fails is told by name.

    Args:
        model: The model.
        job: The rows.

    Yields:
        One record a row: ``id``, ``video``, ``question`` and either ``answer``,
        ``tokens`` and ``seconds``, or ``frames`` and ``seconds`` where nothing was
        asked, or ``error``; ``warnings`` where the video is damaged.
    """
    samplings: dict[tuple[float, int | None], list[BulkRow]] = {}
    for row in job.rows:
        samplings.setdefault((row.fps, row.max_frames), []).append(row)
    for (fps, max_frames), rows in samplings.items():
        started = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                index = model.index(job.video, fps=fps, max_frames=max_frames)
            except _FAILURES as error:
                yield from (failure(row, _sentence(error)) for row in rows)
                continue
        notes = _own_warnings(caught)
        seconds = time.perf_counter() - started
        for row in rows:
            record = _answer(model, index, row, seconds)
            yield record | {"warnings": notes} if notes else record


def failure(row: BulkRow, reason: str) -> Record:
    """Make the record of a row without an answer."""
    facts = {"id": row.id, "video": row.video, "question": row.question}
    return facts | {"error": reason}


def _answer(
    model: VideoModel, index: VideoIndex, row: BulkRow, index_seconds: float
) -> Record:
    facts: Record = {"id": row.id, "video": row.video, "question": row.question}
    if row.question is None:
        seconds = round(index_seconds, 3)
        return facts | {"frames": index.num_frames, "seconds": seconds}
    try:
        answer = model.ask(
            index,
            row.question,
            max_video_tokens=row.max_video_tokens,
            max_new_tokens=row.max_new_tokens,
        )
    except _FAILURES as error:
        return failure(row, _sentence(error))
    return facts | {
        "answer": answer.text,
        "tokens": answer.tokens,
        "seconds": round(answer.seconds, 3),
    }


def _own_warnings(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Give our own warnings, each once."""
    texts = [
        str(one.message)
        for one in caught
        if one.category.__module__.startswith("dynfocus.")
    ]
    return list(dict.fromkeys(texts))


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
