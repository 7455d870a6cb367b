"""Workers on this machine: processes that load the model once and may be killed."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.managers import SyncManager
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pebble import ProcessExpired, ProcessPool
from threadpoolctl import threadpool_limits

from dynfocus.bulk.asking import AnswerJob, MakeAnswerer, OnStep, sentence
from dynfocus.bulk.json_lines import Record
from dynfocus.bulk.rows import VideoJob
from dynfocus.errors import BrokenWorkerError
from dynfocus.video.watchdog import available_cores

_logger = logging.getLogger(__name__)
MAX_ATTEMPTS = 3
"""A video whose worker ends so often is given up."""
LOAD_ERRORS = (ValueError, OSError, ImportError)
"""Why a model cannot be loaded."""
_GRACE_SECONDS = 2.0


def answer_in_processes(
    jobs: Sequence[VideoJob],
    answerer: MakeAnswerer,
    num_workers: int,
    on_step: OnStep | None = None,
) -> Iterator[Record]:
    """Answer in several processes; what a killed one has not told is done again.

    Each worker tells every record when it has it, over a connection of its own, so a
    kill at any moment loses at most the row at work and holds up no other worker. All
    end with this process, however it ends.

    Args:
        jobs: The videos with their rows.
        answerer: Makes ready who answers, in each worker once.
        num_workers: Processes; no more than there are jobs are started.
        on_step: Called while a video is encoded.

    Yields:
        One record a row, except for rows whose worker ended `MAX_ATTEMPTS` times.

    Raises:
        ValueError: The model could not be loaded.
        BrokenWorkerError: Workers end before they have loaded it.
    """
    context = multiprocessing.get_context("spawn")
    manager = SyncManager(ctx=context)
    manager.start(_end_with_parent)
    with manager, tempfile.TemporaryDirectory(prefix="dynfocus-") as folder:
        news = manager.Queue()
        num_workers = min(num_workers, len(jobs))
        given = (answerer, news, folder, num_workers)
        pool = ProcessPool(num_workers, 0, _Worker.start, given, context)
        try:
            yield from _Crew(pool, news, jobs, on_step).records()
        finally:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()


class _Crew:
    """Hand out jobs, listen to what comes of them, and hand some out again."""

    def __init__(
        self,
        pool: ProcessPool,
        news: Any,
        jobs: Sequence[VideoJob],
        on_step: OnStep | None,
    ) -> None:
        self._pool = pool
        self._news = news
        self._on_step = on_step
        self._open = dict(enumerate(jobs))
        self._attempts: Counter[int] = Counter()
        self._futures: dict[int, Future[str]] = {}
        self._loaded: set[int] = set()  # processes
        self._num_unready = 0

    def records(self) -> Iterator[Record]:
        """Yield what the workers tell until nothing is left."""
        for number in self._open:
            self._hand_out(number)
        while self._open:
            match self._news.get():
                case "told", number, record:
                    video, rows = self._open[number].video, self._open[number].rows
                    left = tuple(row for row in rows if row.id != record["id"])
                    self._open[number] = VideoJob(video, left)
                    yield record
                case "step", *step if self._on_step is not None:
                    self._on_step(*step)
                case "loaded", process:
                    self._loaded.add(process)
                case "ended", number:
                    self._end(number, self._futures.pop(number))

    def _hand_out(self, number: int) -> None:
        self._attempts[number] += 1
        given = (number, self._open[number], self._on_step is not None)
        self._futures[number] = self._pool.schedule(_Worker.work, given)
        self._futures[number].add_done_callback(
            lambda future: future.cancelled() or self._news.put(("ended", number))
        )

    def _end(self, number: int, future: Future[str]) -> None:
        """Take note that a job is done, or that it is not and why."""
        error = future.exception()
        if isinstance(error, ProcessExpired | SystemExit):
            self._lose(number, error)
        elif isinstance(error, BrokenProcessPool):
            raise _broken("workers", error)
        elif future.result():  # raises what is no fault of a video
            raise ValueError(future.result())
        else:
            del self._open[number]

    def _lose(self, number: int, error: BaseException) -> None:
        """Give the work of a worker that ended to another."""
        process = getattr(error, "pid", None)  # one that was told to end lives on
        has_loaded = process is None or process in self._loaded
        self._num_unready = 0 if has_loaded else self._num_unready + 1
        if self._num_unready >= MAX_ATTEMPTS:
            raise _broken(f"{self._num_unready} workers", error)
        if not self._open[number].rows:  # it had told all
            del self._open[number]
            return
        again = self._attempts[number] < MAX_ATTEMPTS
        _logger.warning(
            "a worker ended (exit code %s) at %s: %s",
            _code(error),
            self._open[number].video,
            "its rows are run again" if again else "given up",
        )
        if again:
            self._hand_out(number)
        else:
            del self._open[number]


def _broken(who: str, error: BaseException) -> BrokenWorkerError:
    return BrokenWorkerError(
        f"{who} ended before they had loaded the model (the last with exit code "
        f"{_code(error)}); use fewer workers, or a machine with more memory"
    )


def _code(error: BaseException) -> object:
    return getattr(error, "exitcode", getattr(error, "code", "unknown"))


class _Worker:
    """What a worker process holds."""

    answerer: MakeAnswerer
    answer_job: AnswerJob | None = None
    news: Any
    number: int
    num_threads: int
    lock: FileLock

    @classmethod
    def start(
        cls, answerer: MakeAnswerer, news: Any, folder: str, num_workers: int
    ) -> None:
        """Begin a process: take a number that no other has, end when told to."""
        signal.signal(signal.SIGTERM, _leave)
        # A process that ends by itself needs no handler, and has none that can run.
        Finalize(None, signal.signal, (signal.SIGTERM, signal.SIG_DFL), exitpriority=0)
        _end_with_parent()
        cls.answerer, cls.news = answerer, news
        cls.num_threads = max(1, available_cores() // num_workers)
        for cls.number in range(2 * num_workers):  # those just killed hold theirs
            cls.lock = FileLock(Path(folder) / str(cls.number), blocking=False)
            with suppress(Timeout):
                cls.lock.acquire()
                return

    @classmethod
    def work(cls, number: int, job: VideoJob, tells_steps: bool) -> str:
        """Do a job, and tell of it; gives why the model cannot be loaded, if so."""
        if cls.answer_job is None:
            try:
                cls.answer_job = cls.answerer(cls.number)
            except LOAD_ERRORS as error:
                return sentence(error)
            cls._limit_threads()
            cls.news.put(("loaded", os.getpid()))

        def tell_step(video: str, done: int, total: int) -> None:
            cls.news.put(("step", video, done, total))

        for record in cls.answer_job(job, tell_step if tells_steps else None):
            cls.news.put(("told", number, record))
        return ""

    @classmethod
    def _limit_threads(cls) -> None:
        threadpool_limits(cls.num_threads)
        if "torch" in sys.modules:  # what answers need not use it
            import torch

            torch.set_num_threads(min(torch.get_num_threads(), cls.num_threads))


def _leave(number: int, _: object) -> None:
    """End a process so that what it was writing is taken away."""
    sys.exit(128 + number)


def _end_with_parent() -> None:
    """Let this process end when the one that started it does, however that ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # only workers call this

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
