"""The desk where questions queue: bounded, in fair order, dropped when nobody waits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from dynfocus.errors import BusyServerError

OnText = Callable[[str], None]
Ask = Callable[[OnText], Any]
"""Answers one question, and hands over the pieces of the answer, which are texts."""


class _GoneError(Exception):
    """Nobody waits for the answer any more."""


@dataclass(eq=False)
class _Ticket:
    """A question that waits or is being answered."""

    ask: Ask
    loop: asyncio.AbstractEventLoop
    news: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    is_gone: threading.Event = field(default_factory=threading.Event)

    def tell(self, news: Any) -> None:
        """Hand over a piece, the answer, or why there is none; from any thread."""
        if self.is_gone.is_set():
            raise _GoneError
        self.loop.call_soon_threadsafe(self.news.put_nowait, news)


class AnswerDesk:
    """Answer questions in a few threads: those of one client in order, clients in turn.

    Args:
        num_threads: Questions that are answered at once.
        max_waiting: Questions that may wait.
        max_per_client: How many of them may be of one client.
    """

    def __init__(self, num_threads: int, max_waiting: int, max_per_client: int) -> None:
        self._max_waiting = max_waiting
        self._max_per_client = max_per_client
        self._waiting: OrderedDict[str, deque[_Ticket]] = OrderedDict()
        self._num_waiting = 0
        self._num_busy = 0
        self._news = threading.Condition()
        self._is_open = True
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
        return self._num_waiting

    @property
    def num_busy(self) -> int:
        """Count the questions that are being answered."""
        return self._num_busy

    def check(self, client: str = "") -> None:
        """Refuse a question for which there is no place, before any work.

        Raises:
            BusyServerError: Too many questions wait, or the server is stopping.
        """
        with self._news:
            self._check(client)

    async def stream(self, ask: Ask, client: str = "") -> AsyncIterator[Any]:
        """Answer a question; whoever stops listening frees the place.

        Args:
            ask: Answers it.
            client: Whose question it is.

        Yields:
            Pieces of the answer while it is written, and at last the answer.

        Raises:
            BusyServerError: Too many questions wait, or the server is stopping.
        """
        ticket = _Ticket(ask, asyncio.get_running_loop())
        self._queue(ticket, client)
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

    async def answer(self, ask: Ask, client: str = "") -> Any:
        """Answer a question in one piece; see `stream`."""
        async with aclosing(self.stream(ask, client)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                if not isinstance(piece, str):
                    return piece
        raise AssertionError("a stream ends with its answer")

    def stop(self) -> None:
        """Take no more questions; those that wait are told so."""
        with self._news:
            self._is_open = False
            waiting = [one for queue in self._waiting.values() for one in queue]
            self._waiting.clear()
            self._num_waiting = 0
            self._news.notify_all()
        for ticket in waiting:
            self._tell(ticket, BusyServerError("the server is stopping"))

    def close(self, seconds: float) -> None:
        """Take no more questions, and wait for those that are being answered."""
        self.stop()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _check(self, client: str) -> None:
        if not self._is_open:
            raise BusyServerError("the server is stopping")
        wait = max(1, round(self._num_waiting * self._seconds / len(self._threads)))
        num_own = len(self._waiting.get(client, ()))
        if self._num_waiting >= self._max_waiting:
            raise BusyServerError(f"{self._num_waiting} questions wait already", wait)
        if num_own >= self._max_per_client:
            raise BusyServerError(
                f"{num_own} of your questions wait already", wait, is_of_client=True
            )

    def _queue(self, ticket: _Ticket, client: str) -> None:
        with self._news:
            self._check(client)
            self._waiting.setdefault(client, deque()).append(ticket)
            self._num_waiting += 1
            self._news.notify()

    def _take(self) -> _Ticket | None:
        """Take the next question of the client whose turn it is."""
        with self._news:
            while self._is_open and not self._waiting:
                self._news.wait()
            if not self._waiting:
                return None
            client, queue = self._waiting.popitem(last=False)
            ticket = queue.popleft()
            if queue:
                self._waiting[client] = queue  # behind the other clients
            self._num_waiting -= 1
            self._num_busy += 1
            return ticket

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
            news = ticket.ask(ticket.tell)
        except _GoneError:
            return
        except Exception as error:  # noqa: BLE001 whoever asked is told
            news = error
        self._tell(ticket, news)

    def _tell(self, ticket: _Ticket, news: Any) -> None:
        try:
            ticket.tell(news)
        except (_GoneError, RuntimeError):  # or its loop is closed
            return
