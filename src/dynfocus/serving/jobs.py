"""Jobs: work that several requests may wait for, done once, with its progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any

from dynfocus.errors import BusyServerError


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is."""

    stage: str = "waiting"
    """What is being done: ``waiting``, ``fetching``, ``reading``, ``indexing`` or
    ``words``."""
    done: int = 0
    """Steps of the stage that are done."""
    total: int = 0
    """Steps in all; 0 where nobody knows."""


OnProgress = Callable[[Progress], None]
Work = Callable[[OnProgress], Awaitable[Any]]
"""Does a job and tells its progress, in the event loop."""


class Job:
    """Work that is being done.

    It goes on as long as somebody waits for it; one that is wanted by itself goes on
    until it is done.

    Args:
        work: What is done.
        is_wanted: Whether it is wanted by itself.
    """

    def __init__(self, work: Work, *, is_wanted: bool) -> None:
        self.progress = Progress()
        self.is_wanted = is_wanted
        self._num_waiting = 0
        self._news = asyncio.Event()
        self.task = asyncio.create_task(self._run(work))

    async def wait(self) -> Any:
        """Wait for the result; whoever is cancelled meanwhile waits no more.

        Raises:
            BusyServerError: The work was given up.
        """
        self._num_waiting += 1
        try:
            return await asyncio.shield(self.task)
        except asyncio.CancelledError:
            if self.task.cancelled():
                raise BusyServerError("the work on this video was given up") from None
            raise
        finally:
            self._num_waiting -= 1
            self._stop_if_unwanted()

    async def changes(self) -> AsyncIterator[Progress]:
        """Yield the progress whenever it changes, until the job ends."""
        self._num_waiting += 1
        try:
            while not self.task.done():
                news = self._news
                yield self.progress
                await news.wait()
        finally:
            self._num_waiting -= 1
            self._stop_if_unwanted()

    def release(self) -> None:
        """Want it no more by itself."""
        self.is_wanted = False
        self._stop_if_unwanted()

    async def _run(self, work: Work) -> Any:
        try:
            return await work(self._tell)
        finally:
            self._ring()

    def _tell(self, progress: Progress) -> None:
        if progress != self.progress:
            self.progress = progress
            self._ring()

    def _ring(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _stop_if_unwanted(self) -> None:
        if not self.is_wanted and self._num_waiting == 0:
            self.task.cancel()


class Jobs:
    """The jobs of a server by what they make, each once."""

    def __init__(self) -> None:
        self._jobs: dict[Hashable, Job] = {}

    def find(self, key: Hashable) -> Job | None:
        """Give a job that is being done; None where there is none."""
        return self._jobs.get(key)

    def items(self) -> list[tuple[Hashable, Job]]:
        """List what is being done."""
        return list(self._jobs.items())

    def start(self, key: Hashable, work: Work, *, is_wanted: bool = False) -> Job:
        """Do a job, unless it is being done.

        Args:
            key: What it makes.
            work: What is done.
            is_wanted: Whether it is wanted by itself, without anybody who waits.
        """
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = Job(work, is_wanted=is_wanted)
            job.task.add_done_callback(lambda task: self._end(key, task))
        job.is_wanted |= is_wanted
        return job

    def stop(self) -> None:
        """Give up all jobs."""
        for job in self._jobs.values():
            job.task.cancel()

    async def close(self, seconds: float) -> None:
        """Give up all jobs, and wait for so long until they have ended."""
        self.stop()
        tasks = [job.task for job in self._jobs.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    def _end(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        self._jobs.pop(key, None)
        if not task.cancelled():
            task.exception()  # it was told to whoever waits, or written down
