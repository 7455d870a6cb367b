"""Workers on this machine: processes that load the model once and may be killed.

Bought pools were tried. loky ends all workers with one; pebble took a worker that was
killed at the begin of its job for one that never began, in one of 25 runs on a busy
machine. Here each worker has a pipe of its own, whose end is the end of the worker.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from threadpoolctl import threadpool_limits

from dynfocus.bulk.asking import AnswerJob, MakeAnswerer, OnStep
from dynfocus.bulk.rows import VideoJob
from dynfocus.errors import BrokenWorkerError
from dynfocus.json_lines import Record
from dynfocus.text import plural, sentence
from dynfocus.video.watchdog import available_cores, deaf_to_interrupts

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

    Each worker tells every record when it has it, so a kill at any moment loses at most
    the row at work and holds up no other worker. All end with this process, however it
    ends.

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
    crew = _Crew(jobs, answerer, min(num_workers, len(jobs)), on_step is not None)
    try:
        while crew.is_busy:
            for worker in crew.with_news():
                match worker.listen():
                    case "told", record:
                        yield worker.strike(record)
                    case "step", *step if on_step is not None:
                        on_step(*step)
                    case "ready", _:
                        worker.has_loaded = True
                        crew.give(worker)
                    case "failed", reason:
                        raise ValueError(reason)
                    case _:
                        crew.replace(worker)
    finally:
        crew.end()


class _Worker:
    """A process and the work that it has."""

    def __init__(self, number: int, given: tuple[MakeAnswerer, int, bool]) -> None:
        self.number = number
        self.has_loaded = False
        self.job: VideoJob | None = None
        self.process, self.connection = start_worker(_work, number, *given)

    def listen(self) -> tuple[Any, ...] | None:
        """Take a message; None from a worker that ended."""
        try:
            message: tuple[Any, ...] = self.connection.recv()
        except (EOFError, OSError):
            return None
        return message

    def strike(self, record: Record) -> Record:
        """Take a row from what is left."""
        assert self.job is not None
        left = tuple(row for row in self.job.rows if row.id != record["id"])
        self.job = replace(self.job, rows=left)
        return record


class _Crew:
    """The workers and what is left for them to do."""

    def __init__(
        self,
        jobs: Sequence[VideoJob],
        answerer: MakeAnswerer,
        num_workers: int,
        tells_steps: bool,
    ) -> None:
        self._todo = deque(jobs)
        self._attempts: Counter[str] = Counter()  # by video
        self._num_unready = 0
        self._given = (answerer, num_workers, tells_steps)
        self._workers = [_Worker(n, self._given) for n in range(num_workers)]

    @property
    def is_busy(self) -> bool:
        """Tell whether anything is left or at work."""
        return bool(self._todo) or any(w.job is not None for w in self._workers)

    def with_news(self) -> list[_Worker]:
        """Wait until some worker has sent something or ended."""
        ready = wait([worker.connection for worker in self._workers])
        return [worker for worker in self._workers if worker.connection in ready]

    def give(self, worker: _Worker) -> None:
        """Hand over the next video, if there is one."""
        worker.job = self._todo.popleft() if self._todo else None
        if worker.job is None:
            return
        self._attempts[worker.job.name] += 1
        try:
            worker.connection.send(worker.job)
        except OSError:
            _logger.info("worker %d ended before it got its work", worker.number)

    def replace(self, worker: _Worker) -> None:
        """Put another in place of a worker that ended, and its work back in front."""
        worker.connection.close()
        worker.process.join()
        self._workers.remove(worker)
        code = worker.process.exitcode
        self._num_unready = 0 if worker.has_loaded else self._num_unready + 1
        if self._num_unready >= MAX_ATTEMPTS:
            raise BrokenWorkerError(
                f"{plural(self._num_unready, 'worker')} ended before they had loaded the model "
                f"(the last with exit code {code}); use fewer workers, or a machine "
                "with more memory"
            )
        self._take_back(worker.job, code)
        for other in self._workers:
            if other.has_loaded and other.job is None:
                self.give(other)
        if self._todo:
            self._workers.append(_Worker(worker.number, self._given))

    def _take_back(self, job: VideoJob | None, code: int | None) -> None:
        if job is None or not job.rows:
            return
        again = self._attempts[job.name] < MAX_ATTEMPTS
        _logger.warning(
            "a worker ended (exit code %s) at %s: %s",
            code,
            job.name,
            "its rows are run again" if again else "given up",
        )
        if again:
            self._todo.appendleft(job)

    def end(self) -> None:
        """End all processes: they are asked to, and killed if they do not listen."""
        for worker in self._workers:
            worker.process.terminate()
        end = time.monotonic() + _GRACE_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, end - time.monotonic()))
            worker.process.kill()
            worker.process.join()
            worker.connection.close()


def _work(
    connection: Connection,
    number: int,
    answerer: MakeAnswerer,
    num_workers: int,
    tells_steps: bool,
) -> None:
    """Load the model, then take videos until there are no more."""
    obey_parent()

    def tell_step(video: str, done: int, total: int) -> None:
        connection.send(("step", video, done, total))

    try:
        answer_job = _load(connection, number, answerer, num_workers)
        while answer_job is not None:
            connection.send(("ready", number))
            job = connection.recv()
            for record in answer_job(job, tell_step if tells_steps else None):
                connection.send(("told", record))
    except (EOFError, BrokenPipeError):
        return  # nobody waits for more
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing is half written now


def _load(
    connection: Connection, number: int, answerer: MakeAnswerer, num_workers: int
) -> AnswerJob | None:
    try:
        answer_job = answerer(number)
    except LOAD_ERRORS as error:
        connection.send(("failed", sentence(error)))
        return None
    share = max(1, available_cores() // num_workers)
    threadpool_limits(share)
    if "torch" in sys.modules:  # what answers need not use it
        import torch

        torch.set_num_threads(min(torch.get_num_threads(), share))
    return answer_job


def start_worker(
    work: Callable[..., None], *given: Any
) -> tuple[BaseProcess, Connection]:
    """Start a process with a pipe to it, whose end is the end of the process.

    Args:
        work: What it does, given its side of the pipe; it calls `obey_parent` first.
        *given: What else it is given.

    Returns:
        The process, and our side of the pipe.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, *given), daemon=True)
    with deaf_to_interrupts():
        process.start()
    theirs.close()
    return process, ours


def obey_parent() -> None:
    """Let this process end with the one that started it, and by its will alone."""
    # Ctrl-C reaches all processes of a terminal; the one that gives the work ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it does, however that ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # only workers call this
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)  # what is half written is taken away
    time.sleep(_GRACE_SECONDS)
    os._exit(1)
