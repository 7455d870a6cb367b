"""Workers that read and index: processes of their own, so that no question waits for them.

A worker that ends, is killed or does not listen is replaced by another.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from dynfocus.bulk.asking import FAILURES
from dynfocus.bulk.worker_processes import obey_parent, start_worker
from dynfocus.errors import BrokenWorkerError, BusyServerError, UnreadableVideoError
from dynfocus.serving.noted import warnings_by_thread
from dynfocus.serving.reading import FileJob, OnStep, called, run_job
from dynfocus.text import sentence
from dynfocus.video.confinement import confining

if TYPE_CHECKING:
    from dynfocus.models import VideoModel
    from dynfocus.video.decode_limits import DecodeLimits

_logger = logging.getLogger(__name__)
MAX_ATTEMPTS = 2
"""A file at which workers end so often is given up."""
_LISTEN_SECONDS = 1.0
"""A worker that is asked to stop does so within this time, or is killed."""
_NICENESS = 5
_STEP_SECONDS = 0.1
"""Progress is told no more often."""


class _StoppedError(Exception):
    """Nobody wants the work any more."""


@dataclass(eq=False)
class _Task:
    """A job that waits for a worker."""

    job: FileJob
    loop: asyncio.AbstractEventLoop
    result: asyncio.Future[dict[str, Any]]
    on_step: OnStep
    is_stopped: threading.Event = field(default_factory=threading.Event)

    def tell_step(self, *step: Any) -> None:
        """Tell the progress, from a thread."""
        with suppress(RuntimeError):  # its loop is closed: nobody looks
            self.loop.call_soon_threadsafe(self.on_step, *step)

    def end(self, facts: dict[str, Any] | None, error: Exception | None) -> None:
        """Tell the result, from a thread."""

        def tell() -> None:
            if self.result.done():
                return
            if error is not None:
                self.result.set_exception(error)
            else:
                self.result.set_result(facts or {})

        with suppress(RuntimeError):  # its loop is closed: nobody waits
            self.loop.call_soon_threadsafe(tell)


class Workers:
    """Do jobs with files in a few processes, or in a thread of this one.

    Args:
        num_processes: Processes; 0 for a thread of this one.
        load: Loads the model of a worker; others unpickle it.
        limits: What a video may be, and take to decode.
    """

    def __init__(
        self,
        num_processes: int,
        load: Callable[[], VideoModel],
        limits: DecodeLimits,
    ) -> None:
        self._load = load
        self._limits = limits
        self._num_processes = num_processes
        self._numbers = itertools.count()
        self._tasks: queue.PriorityQueue[tuple[int, int, _Task | None]] = (
            queue.PriorityQueue()
        )
        self._threads = [
            threading.Thread(target=self._serve, name=f"files-{number}", daemon=True)
            for number in range(max(1, num_processes))
        ]
        self._is_open = True
        self._crew: list[_Worker] = []
        for thread in self._threads:
            thread.start()

    @property
    def processes(self) -> list[int]:
        """List the processes that are there."""
        return [pid for worker in self._crew if (pid := worker.pid) is not None]

    @property
    def num_waiting(self) -> int:
        """Count the jobs that wait."""
        return self._tasks.qsize()

    async def run(
        self, job: FileJob, on_step: OnStep, *, is_urgent: bool = False
    ) -> dict[str, Any]:
        """Do a job; whoever is cancelled meanwhile frees the worker.

        Args:
            job: The job.
            on_step: Called meanwhile, in the event loop.
            is_urgent: Whether somebody waits for it who asks a question.

        Returns:
            What `run_job` gives.

        Raises:
            ValueError: The file holds no video that can be decoded.
        """
        if not self._is_open:
            raise BusyServerError("the server is stopping")
        loop = asyncio.get_running_loop()
        task = _Task(job, loop, loop.create_future(), on_step)
        self._tasks.put((0 if is_urgent else 1, next(self._numbers), task))
        try:
            return await task.result
        finally:
            task.is_stopped.set()

    def stop(self) -> None:
        """Take no more jobs; what the workers are at is half done, and gone."""
        if self._is_open:
            self._is_open = False
            for _ in self._threads:
                self._tasks.put((-1, next(self._numbers), None))

    def close(self, seconds: float) -> None:
        """End the workers, those that do not listen for so long too."""
        self.stop()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        for worker in self._crew:
            worker.kill()

    def _serve(self) -> None:
        """Do one job after the other, in a thread."""
        worker: _Worker | _Here = _Here(self._load)
        if self._num_processes:
            worker = _Worker(self._load, self._limits)
            self._crew.append(worker)
        while (task := self._tasks.get()[2]) is not None:
            if task.is_stopped.is_set():
                continue
            try:
                facts = worker.do(task, lambda: not self._is_open)
            except _StoppedError:
                task.end(None, BusyServerError("the server is stopping"))
            except Exception as error:  # noqa: BLE001 whoever waits is told
                task.end(None, error)
            else:
                task.end(facts, None)
        worker.close()


class _Here:
    """Do jobs in this process."""

    def __init__(self, load: Callable[[], VideoModel]) -> None:
        self._load = load

    def do(self, task: _Task, is_closing: Callable[[], bool]) -> dict[str, Any]:
        """Do a job."""

        def on_step(*step: Any) -> None:
            if task.is_stopped.is_set() or is_closing():
                raise _StoppedError
            task.tell_step(*step)

        try:
            return run_job(task.job, self._load, on_step)
        except (*FAILURES, ImportError) as error:
            job = task.job
            kind = _kind_of(error)
            raise _error(kind, called(job.name, job.path, sentence(error))) from error

    def close(self) -> None:
        """Nothing is to be ended."""


class _Worker:
    """A process that does jobs, started when it is needed."""

    def __init__(self, load: Callable[[], VideoModel], limits: DecodeLimits) -> None:
        self._load = load
        self._limits = limits
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    @property
    def pid(self) -> int | None:
        """The number of the process, if there is one."""
        return None if self._process is None else self._process.pid

    def do(self, task: _Task, is_closing: Callable[[], bool]) -> dict[str, Any]:
        """Do a job, in a new process where one ends at it.

        Raises:
            BrokenWorkerError: Processes end at it again and again.
        """
        for _ in range(MAX_ATTEMPTS):
            connection = self.start()
            try:
                connection.send(task.job)
                return self._follow(connection, task, is_closing)
            except (EOFError, ConnectionError):
                _logger.warning("a worker ended at %s", task.job.path)
                self.close()
        raise BrokenWorkerError(
            f"reading this video ended its worker {MAX_ATTEMPTS} times; convert it to "
            "H.264 in MP4, or give the server more memory"
        )

    def _follow(
        self, connection: Connection, task: _Task, is_closing: Callable[[], bool]
    ) -> dict[str, Any]:
        """Hear of a job until it is done, unless it is to stop first."""
        while True:
            if task.is_stopped.is_set() or is_closing():
                self._stop()
                raise _StoppedError
            if not connection.poll(_STEP_SECONDS):
                self._check_alive(connection)
                continue
            kind, *news = connection.recv()
            if kind == "done":
                return dict(news[0])
            if kind != "step":
                raise _error(kind, str(news[0]))
            task.tell_step(*news)

    def _check_alive(self, connection: Connection) -> None:
        """Notice the end of the process also where one that it started holds the pipe.

        Raises:
            EOFError: It has ended, and said nothing more.
        """
        process = self._process
        if (process is None or not process.is_alive()) and not connection.poll():
            raise EOFError

    def start(self) -> Connection:
        """Start a process, unless one is there."""
        if self._process is not None and self._process.is_alive():
            assert self._connection is not None
            return self._connection
        self.close()
        self._process, self._connection = start_worker(_work, self._load, self._limits)
        return self._connection

    def _stop(self) -> None:
        """Let the process stop its work, or end it."""
        assert self._connection is not None
        end = time.monotonic() + _LISTEN_SECONDS
        try:
            self._connection.send(None)
            while self._connection.poll(max(0.0, end - time.monotonic())):
                if self._connection.recv()[0] != "step":
                    return
        except (EOFError, OSError):
            _logger.info("a worker ended while it was stopped")
        self.close()

    def kill(self) -> None:
        """End the process, from any thread."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process."""
        self.kill()
        if self._process is not None:
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


def _error(kind: str, text: str) -> Exception:
    """Make the error anew that a worker met."""
    if kind == "stopped":
        return _StoppedError()
    return OSError(text) if kind == "refused" else UnreadableVideoError(text)


def _work(
    connection: Connection, load: Callable[[], VideoModel], limits: DecodeLimits
) -> None:
    """Do jobs until there are no more, in a process of its own."""
    obey_parent()
    if hasattr(os, "nice"):
        os.nice(_NICENESS)  # who answers comes first
    told_seconds = 0.0
    load_once = lru_cache(maxsize=1)(load)

    def on_step(stage: str, done: int, total: int) -> None:
        nonlocal told_seconds
        if connection.poll() and connection.recv() is None:
            raise _StoppedError
        now = time.monotonic()
        if done in (0, total) or now - told_seconds >= _STEP_SECONDS:
            told_seconds = now
            connection.send(("step", stage, done, total))

    with warnings_by_thread(), confining(limits):
        while True:
            try:
                job = connection.recv()
            except (EOFError, OSError):
                return
            if job is None:  # a stop that came too late
                continue
            connection.send(_outcome(job, load_once, on_step))


def _outcome(
    job: FileJob, load: Callable[[], VideoModel], on_step: OnStep
) -> tuple[Any, ...]:
    try:
        return "done", run_job(job, load, on_step)
    except _StoppedError:
        return ("stopped", "")
    except (*FAILURES, ImportError) as error:
        return _kind_of(error), called(job.name, job.path, sentence(error))


def _kind_of(error: BaseException) -> str:
    """Tell what the system refused from what is wrong with a file, stuck ones included."""
    is_of_system = isinstance(error, OSError) and not isinstance(error, ValueError)
    return "refused" if is_of_system else "failed"
