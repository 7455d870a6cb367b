"""Run decoding in threads of its own and give up when one of them is stuck."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Generic, TypeVar, cast

from dynfocus.errors import DynFocusError, StuckVideoError
from dynfocus.video.files import VideoFile

Given = TypeVar("Given")
Result = TypeVar("Result")

# How often the waiting thread looks up.
_TICK_SECONDS = 0.05


def check_timeout(timeout_seconds: float | None) -> None:
    """Refuse a time that is not above 0; None waits for ever."""
    if timeout_seconds is not None and not timeout_seconds > 0:
        raise ValueError(
            "timeout_seconds must be above 0, or None to wait for ever, "
            f"got {timeout_seconds}."
        )


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach, from their first moment on.

    It reaches all processes of a terminal; the one that gives the work ends the others.
    """
    if sys.platform == "win32":
        yield
        return
    from multiprocessing.resource_tracker import ensure_running

    ensure_running()  # else the first process starts it, which lets interrupts in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def available_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class AbandonedError(DynFocusError):
    """Nobody waits for this work any more."""


class Pulse:
    """How a thread at work shows that it lives, and learns that it should stop."""

    def __init__(self) -> None:
        self._last_seconds = time.monotonic()
        self._is_abandoned = False

    def beat(self) -> None:
        """Report progress.

        Raises:
            AbandonedError: The result is not wanted any more.
        """
        if self._is_abandoned:
            raise AbandonedError
        self._last_seconds = time.monotonic()

    def abandon(self) -> None:
        """Make the next beat stop the work."""
        self._is_abandoned = True

    def silence_seconds(self) -> float:
        """Tell how long ago the last progress was made."""
        return time.monotonic() - self._last_seconds


class _Worker(Generic[Result]):
    """A job in a daemon thread, with what came of it."""

    def __init__(self, job: Callable[[Pulse], Result]) -> None:
        self.pulse = Pulse()
        self.results: list[Result] = []
        self.error: BaseException | None = None
        self.is_done = threading.Event()
        self._job = job
        # A daemon, so that one that never returns does not hold up the exit.
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.results.append(self._job(self.pulse))
        except BaseException as error:  # noqa: BLE001 raised again by who waits
            self.error = error
        finally:
            self.is_done.set()

    def wait(self) -> Result:
        """Wait for the job, and give its result or raise its error."""
        self.is_done.wait()
        if self.error is not None:
            raise self.error
        return self.results[0]


def run_watched(
    path: VideoFile,
    jobs: Sequence[Callable[[Pulse], Result]],
    *,
    timeout_seconds: float | None,
    on_tick: Callable[[], None] | None = None,
) -> list[Result]:
    """Run jobs side by side, each in a thread, and wait for all of them.

    A thread cannot be killed: one that is stuck inside FFmpeg is left behind and ends
    with the process, or by itself should it ever make progress again.

    Args:
        path: The file that the jobs read, for the error.
        jobs: What to do; each reports its progress to the pulse that it is given.
        timeout_seconds: How long a job may be silent; ``None`` waits for ever.
        on_tick: Called in the waiting thread, several times a second and at the end.

    Returns:
        What the jobs returned, in their order.

    Raises:
        StuckVideoError: A job was silent for too long.
    """
    workers = [_Worker(job) for job in jobs]
    try:
        for worker in workers:
            worker.thread.start()
        for worker in workers:
            while not worker.is_done.wait(_TICK_SECONDS):
                _check_pulses(path, workers, timeout_seconds)
                if on_tick is not None:
                    on_tick()
            if worker.error is not None:
                raise worker.error
    finally:
        for worker in workers:
            worker.pulse.abandon()
    if on_tick is not None:
        on_tick()
    return [worker.results[0] for worker in workers]


def _check_pulses(
    path: VideoFile, workers: Sequence[_Worker[Result]], timeout_seconds: float | None
) -> None:
    """Give up if a worker has been silent for too long."""
    if timeout_seconds is None:
        return
    for worker in workers:
        silence = worker.pulse.silence_seconds()
        if silence > timeout_seconds and not worker.is_done.is_set():
            raise StuckVideoError(
                f"{path}: reading or decoding made no progress for "
                f"{timeout_seconds:g} s; copy the file to a local disk, or raise "
                "timeout_seconds if it is only slow."
            )


def work_ahead(
    job: Callable[[Given], Result], given: Iterable[Given]
) -> Iterator[Result]:
    """Do a job for one thing after the other, one ahead of who takes the results.

    No two are at work at once. When nobody takes results any more, the one at work is
    left to end by itself, and no other begins.

    Args:
        job: What to do; in a thread.
        given: What it is done for.

    Yields:
        The results, in order; what a job raises is raised in place of its result.
    """
    before: _Worker[Result] | None = None
    for one in given:
        result = None if before is None else before.wait()
        worker = _Worker(partial(_without_pulse, job, one))
        worker.thread.start()
        if before is not None:
            yield cast(Result, result)
        before = worker
    if before is not None:
        yield before.wait()


def _without_pulse(
    job: Callable[[Given], Result], given: Given, pulse: Pulse
) -> Result:
    return job(given)
