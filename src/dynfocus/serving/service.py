"""What all requests of a server share: its model, its desk, its videos, its settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from dynfocus.defaults import OWN_TYPES, model_type
from dynfocus.errors import BusyServerError
from dynfocus.models.options import AskOptions
from dynfocus.serving.answerers import load_answerer, model_loader
from dynfocus.serving.answering import AnswerDesk
from dynfocus.serving.conversations import AskFields
from dynfocus.serving.failures import ApiError
from dynfocus.serving.hosting import ModelHere, ModelHost, ModelProcess
from dynfocus.serving.jobs import Jobs
from dynfocus.serving.library import Library
from dynfocus.serving.metrics import Metrics
from dynfocus.serving.settings import ServerSettings
from dynfocus.serving.videos import Videos
from dynfocus.serving.workers import Workers

if TYPE_CHECKING:
    from fastapi import Request

    from dynfocus.serving.answerers import Answerer

_NEW_TOKENS = 512
"""The most that a model of another server writes, unless a request says otherwise."""


_MOST_DRAWINGS = 256
_MOST_CHECKED = 1024
"""So many options are remembered to be right."""
Result = TypeVar("Result")


class Service:
    """Hold what requests share; the data of none of them.

    Args:
        settings: What the server was started with.
        model: What answers; by default that of the settings is loaded.
        metrics: Where it is counted what is done.
        on_failure: Called with the reason where the model cannot be loaded.
    """

    def __init__(
        self,
        settings: ServerSettings,
        model: Answerer | None = None,
        metrics: Metrics | None = None,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings
        self.started_seconds = time.time()
        self._drawing = anyio.CapacityLimiter(
            settings.protection.decoding.max_processes
        )
        self._end_seconds: float | None = None
        self._checked: set[tuple[int, AskOptions]] = set()
        self.desk = AnswerDesk(
            settings.answer_threads,
            settings.max_waiting,
            settings.max_waiting_per_client,
        )
        limits = settings.protection.decoding
        folder = None
        if model is not None and model.store is not None:
            folder = model.store.folder
        load: Callable[[], Any] = model_loader(settings, folder)
        self.host: ModelHost
        if model is None and settings.index_workers:
            answering = partial(load_answerer, settings)
            self.host = ModelProcess(answering, limits, on_failure)
        else:
            here = ModelHere(model or partial(load_answerer, settings), on_failure)
            self.host = here
            if not settings.index_workers:
                load = lambda: here.model  # noqa: E731 what answers is loaded already
        self.workers = Workers(settings.index_workers, load, limits)
        self.policy = settings.protection.fetch_policy(settings.host)
        self.library = Library(
            settings.library_folder, passing_bytes=settings.passing_bytes
        )
        self.jobs = Jobs()
        self.videos = Videos(
            self.library,
            self.jobs,
            self.workers,
            self.host,
            self._is_indexed,
            settings.max_jobs,
            self.policy,
        )
        self.metrics = metrics or Metrics()
        self.metrics.watch(self)

    @property
    def problem(self) -> str | None:
        """Say why no question can be answered yet; None if one can."""
        return self.host.problem

    @property
    def name(self) -> str:
        """What clients call the model."""
        return self.settings.model

    def ask_options(
        self, asked: AskFields, max_new_tokens: int | None, stop: Sequence[str] = ()
    ) -> AskOptions:
        """Give the options of a question that a request asks.

        Raises:
            ApiError: It names a scorer that the server was not started with.
            ValueError: An option is wrong.
        """
        self.check_scorer(asked.scorer)
        most = max_new_tokens
        if most is None and self.settings.backend == "openai":
            most = _NEW_TOKENS
        return asked.ask_options(most, stop)

    async def check(self, options: AskOptions, num_videos: int = 1) -> None:
        """Refuse options that the model cannot follow, before any work.

        Raises:
            BusyServerError: There is no model yet.
            ValueError: An option is wrong.
        """
        if (num_videos, options) not in self._checked:
            await anyio.to_thread.run_sync(self.host.call, "check", num_videos, options)
            if len(self._checked) >= _MOST_CHECKED:
                self._checked.clear()
            self._checked.add((num_videos, options))

    async def draw(self, work: Callable[..., Result], *given: Any) -> Result:
        """Decode and draw in a thread; only a few do, so that others are left.

        Raises:
            BusyServerError: Too many wait for that.
        """
        if self._drawing.statistics().tasks_waiting >= _MOST_DRAWINGS:
            raise BusyServerError("many pictures are being drawn", 2)
        return await anyio.to_thread.run_sync(work, *given, limiter=self._drawing)

    def check_scorer(self, name: str | None) -> None:
        """Refuse a scorer that the server was not started with.

        Raises:
            ApiError: It was not.
        """
        if name not in (None, self.settings.scorer or "none"):
            raise ApiError(
                400,
                f"the server was not started with the scorer {name[:80]!r}; leave it out",
                parameter="scorer",
            )

    def start(self) -> None:
        """Go on with what an earlier server left."""
        self.videos.resume()

    def stop(self) -> None:
        """Take no more work, and give up all but the questions that are being answered."""
        if self._end_seconds is None:
            self._end_seconds = time.monotonic() + self.settings.shutdown_seconds
            self.desk.stop()
            self.jobs.stop()
            self.workers.stop()

    async def close(self) -> None:
        """Give up what is in hand, in what is left of the time for that."""
        self.stop()
        await anyio.to_thread.run_sync(self.desk.close, self._seconds_left)
        await self.jobs.close(self._seconds_left)
        await anyio.to_thread.run_sync(self.workers.close, self._seconds_left)
        self.host.close()
        self.library.close()

    @property
    def _seconds_left(self) -> float:
        assert self._end_seconds is not None  # it is stopped
        return max(0.0, self._end_seconds - time.monotonic())

    def _is_indexed(self) -> bool:
        """Tell whether the model keeps an index on disk, also before it is loaded."""
        if self.host.problem is None:
            return self.host.facts.has_store
        is_here = self.settings.backend != "openai"
        return is_here and model_type(self.settings.model) in OWN_TYPES


def service_of(request: Request) -> Service:
    """Give what the requests of an application share."""
    service: Service = request.app.state.service
    return service


def client_of(request: Request) -> str:
    """Tell whose turn a question takes: that of an address, and of the key it gives."""
    host = "" if request.client is None else request.client.host
    key = request.headers.get("authorization", "").encode()
    return f"{host} {sha256(key).hexdigest()}"
