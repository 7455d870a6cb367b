"""Workers on this machine: processes that load the model once and may be killed."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from dynfocus.bulk.answers_file import Record
from dynfocus.bulk.asking import Loader, answer_job
from dynfocus.bulk.rows import BulkRow, VideoJob
from dynfocus.errors import BrokenWorkerError
from dynfocus.video.watchdog import available_cores

_logger = logging.getLogger(__name__)
MAX_ATTEMPTS = 3
"""A video whose worker ends so often is given up."""
_READY = "ready"


@dataclass(frozen=True)
class _LoadFailure:
    """Why a worker could not load the model."""

    reason: str


def answer_here(jobs: Sequence[VideoJob], loader: Loader) -> Iterator[Record]:
    """Answer in this process, one video after the other.

    Args:
        jobs: The videos with their rows.
        loader: Loads the model.

    Yields:
        One record a row.
    """
    model = loader(0)
    for job in jobs:
        yield from answer_job(model, job)


def answer_in_processes(
    jobs: Sequence[VideoJob], loader: Loader, num_workers: int
) -> Iterator[Record]:
    """Answer in several processes; what a killed one has not told is done again.

    Each worker has a pipe of its own and tells every record when it has it, so a kill
    at any moment loses at most the row at work and holds up no other worker.

    Args:
        jobs: The videos with their rows.
        loader: Loads the model, in each worker once.
        num_workers: Processes; no more than there are jobs are started.

    Yields:
        One record a row, except for rows whose worker ended `MAX_ATTEMPTS` times.

    Raises:
        BrokenWorkerError: The model could not be loaded.
    """
    crew = _Crew(jobs, loader, num_workers)
    try:
        while crew.is_busy:
            for worker in crew.with_news():
                try:
                    message = worker.connection.recv()
                except (EOFError, OSError):
                    crew.lose(worker)
                    continue
                if isinstance(message, _LoadFailure):
                    raise ValueError(message.reason)
                if isinstance(message, dict):
                    yield worker.took(message)
                else:
                    worker.has_loaded = True
                    worker.give(crew.todo)
    finally:
        for worker in crew.workers:
            worker.end()


class _Crew:
    """The workers and what is left for them to do."""

    def __init__(
        self, jobs: Sequence[VideoJob], loader: Loader, num_workers: int
    ) -> None:
        self.todo = deque(_Task(job.video, list(job.rows)) for job in jobs)
        self._loader = loader
        self._num_workers = min(num_workers, len(self.todo))
        self._num_lost = 0
        self.workers = [self._start(number) for number in range(self._num_workers)]

    @property
    def is_busy(self) -> bool:
        """Tell whether anything is left or at work."""
        return bool(self.todo) or any(w.task is not None for w in self.workers)

    def with_news(self) -> list[_Worker]:
        """Wait until some worker has sent something or ended."""
        ready = wait([worker.connection for worker in self.workers])
        return [worker for worker in self.workers if worker.connection in ready]

    def lose(self, worker: _Worker) -> None:
        """Put another in place of a worker that ended, and its work back in front."""
        worker.end()
        self.workers.remove(worker)
        code = worker.process.exitcode
        self._num_lost = 0 if worker.has_loaded else self._num_lost + 1
        if self._num_lost >= MAX_ATTEMPTS:
            raise BrokenWorkerError(
                f"{self._num_lost} workers ended before they had loaded the model (the "
                f"last with exit code {code}); use fewer workers, or a machine with "
                "more memory"
            )
        self._take_back(worker.task, code)
        for other in self.workers:
            if other.has_loaded and other.task is None:
                other.give(self.todo)
        if self.todo:
            self.workers.append(self._start(worker.number))

    def _take_back(self, task: _Task | None, code: int | None) -> None:
        if task is None or not task.rows:
            return
        again = task.num_attempts < MAX_ATTEMPTS
        _logger.warning(
            "a worker ended (exit code %s) at %s: %s",
            code,
            task.video,
            "its rows are run again" if again else "given up",
        )
        if again:
            self.todo.appendleft(task)

    def _start(self, number: int) -> _Worker:
        return _Worker(self._loader, number, self._num_workers)


@dataclass
class _Task:
    """What is left to ask about one video."""

    video: str
    rows: list[BulkRow]
    num_attempts: int = field(default=0)


class _Worker:
    """A process and the work that it has."""

    def __init__(self, loader: Loader, number: int, num_workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.number = number
        self.has_loaded = False
        self.task: _Task | None = None
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=_work,
            args=(theirs, loader, number, num_workers),
            daemon=True,
            name=f"dynfocus-worker-{number}",
        )
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the pipe

    def give(self, todo: deque[_Task]) -> None:
        """Hand over the next video, if there is one."""
        self.task = todo.popleft() if todo else None
        if self.task is None:
            return
        self.task.num_attempts += 1
        try:
            self.connection.send(VideoJob(self.task.video, tuple(self.task.rows)))
        except OSError:
            _logger.info("worker %d ended before it got its work", self.number)

    def took(self, record: Record) -> Record:
        """Strike a row from what is left."""
        assert self.task is not None
        self.task.rows = [row for row in self.task.rows if row.id != record["id"]]
        return record

    def end(self) -> None:
        """End the process, whatever it does."""
        self.connection.close()
        self.process.kill()
        self.process.join()


def _work(
    connection: Connection, loader: Loader, number: int, num_workers: int
) -> None:
    """Load the model, then take videos until there are no more."""
    # Ctrl-C reaches all processes of a terminal; the one that gives the work ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threads = max(1, available_cores() // num_workers)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    try:
        try:
            model = loader(number)
        except (ValueError, OSError, ImportError) as error:
            connection.send(_LoadFailure(" ".join(str(error).split())))
            return
        connection.send(_READY)
        while True:
            for record in answer_job(model, connection.recv()):
                connection.send(record)
            connection.send(_READY)
    except (EOFError, BrokenPipeError):
        return  # nobody waits for more
