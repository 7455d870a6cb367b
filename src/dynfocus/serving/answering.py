"""The desk where questions queue: in order, bounded, and dropped when nobody waits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dynfocus.errors import BusyServerError

if TYPE_CHECKING:
    from dynfocus.models import Answer

OnText = Callable[[str], None]
Ask = Callable[[OnText], "Answer"]
"""Answers one question, and hands over the pieces of the answer."""


class _GoneError(Exception):
    """Nobody waits for the answer any more."""


@dataclass(eq=False)
class _Ticket:
    """A question that waits or is being answered."""

    ask: Ask
    loop: asyncio.AbstractEventLoop
    news: asyncio.Queue[str | Answer | BaseException] = field(
        default_factory=asyncio.Queue
    )
    is_gone: threading.Event = field(default_factory=threading.Event)

    def tell(self, news: str | Answer | BaseException) -> None:
        """Hand over a piece, the answer, or why there is none; from any thread."""
        if self.is_gone.is_set():
            raise _GoneError
        self.loop.call_soon_threadsafe(self.news.put_nowait, news)


class AnswerDesk:
    """Answer questions one after the other in a few threads.

    Args:
        num_threads: Questions that are answered at once.
        max_waiting: Questions that may wait.
    """

    def __init__(self, num_threads: int, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._waiting: deque[_Ticket] = deque()
        self._news = threading.Condition()
        self._is_open = True
        self._num_busy = 0
        self._seconds = 1.0
        self._threads = [
            threading.Thread(target=self._work, name=f"answers-{number}", daemon=True)
            for number in range(num_threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def num_waiting(self) -> int:
        """Count the questions that wait."""
        return len(self._waiting)

    @property
    def num_busy(self) -> int:
        """Count the questions that are being answered."""
        return self._num_busy

    async def stream(self, ask: Ask) -> AsyncIterator[str | Answer]:
        """Answer a question; whoever stops listening frees the place.

        Args:
            ask: Answers it.

        Yields:
            Pieces of the answer while it is written, and at last the answer.

        Raises:
            BusyServerError: Too many questions wait.
        """
        ticket = _Ticket(ask, asyncio.get_running_loop())
        self._queue(ticket)
        try:
            while True:
                news = await ticket.news.get()
                if isinstance(news, BaseException):
                    raise news
                yield news
                if not isinstance(news, str):
                    return
        finally:
            ticket.is_gone.set()

    async def answer(self, ask: Ask) -> Answer:
        """Answer a question in one piece; see `stream`."""
        async with aclosing(self.stream(ask)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                if not isinstance(piece, str):
                    return piece
        raise AssertionError("a stream ends with its answer")

    def close(self, seconds: float) -> None:
        """Take no more questions, and wait for those that are being answered."""
        with self._news:
            self._is_open = False
            waiting, self._waiting = list(self._waiting), deque()
            self._news.notify_all()
        for ticket in waiting:
            self._tell(ticket, BusyServerError("the server is stopping", 1))
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _queue(self, ticket: _Ticket) -> None:
        with self._news:
            if not self._is_open:
                raise BusyServerError("the server is stopping", 1)
            if len(self._waiting) >= self._max_waiting:
                wait = len(self._waiting) * self._seconds / len(self._threads)
                raise BusyServerError(
                    f"{len(self._waiting)} questions wait already", max(1, round(wait))
                )
            self._waiting.append(ticket)
            self._news.notify()

    def _take(self) -> _Ticket | None:
        with self._news:
            while self._is_open and not self._waiting:
                self._news.wait()
            if not self._waiting:
                return None
            self._num_busy += 1
            return self._waiting.popleft()

    def _work(self) -> None:
        while (ticket := self._take()) is not None:
            started = time.perf_counter()
            try:
                if not ticket.is_gone.is_set():
                    self._answer(ticket)
            finally:
                seconds = time.perf_counter() - started
                with self._news:
                    self._num_busy -= 1
                    self._seconds += 0.2 * (seconds - self._seconds)

    def _answer(self, ticket: _Ticket) -> None:
        try:
            news: Answer | BaseException = ticket.ask(ticket.tell)
        except _GoneError:
            return
        except Exception as error:  # noqa: BLE001 whoever asked is told
            news = error
        self._tell(ticket, news)

    def _tell(self, ticket: _Ticket, news: Answer | BaseException) -> None:
        try:
            ticket.tell(news)
        except (_GoneError, RuntimeError):  # or its loop is closed
            return
