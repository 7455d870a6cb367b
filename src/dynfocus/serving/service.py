"""What all requests of a server share: its model, its desk, its videos, its settings."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
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
from dynfocus.serving.jobs import Jobs
from dynfocus.serving.library import Library
from dynfocus.serving.metrics import Metrics
from dynfocus.serving.settings import ServerSettings
from dynfocus.serving.videos import Videos
from dynfocus.serving.workers import Workers
from dynfocus.text import sentence

if TYPE_CHECKING:
    from fastapi import Request

    from dynfocus.serving.answerers import Answerer

_logger = logging.getLogger(__name__)
_NEW_TOKENS = 512
"""The most that a model of another server writes, unless a request says otherwise."""


_MOST_DRAWINGS = 256
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
        self.desk = AnswerDesk(
            settings.answer_threads,
            settings.max_waiting,
            settings.max_waiting_per_client,
        )
        folder = None
        if model is not None and model.store is not None:
            folder = model.store.folder
        load: Callable[[], Any] = model_loader(settings, folder)
        if not settings.index_workers:
            load = lambda: self.model  # noqa: E731 what answers is loaded already
        self.workers = Workers(
            settings.index_workers, load, settings.protection.decoding
        )
        self.policy = settings.protection.fetch_policy(settings.host)
        self.library = Library(
            settings.library_folder, passing_bytes=settings.passing_bytes
        )
        self.jobs = Jobs()
        self.videos = Videos(
            self.library,
            self.jobs,
            self.workers,
            lambda: self.model,
            self._is_indexed,
            settings.max_jobs,
            self.policy,
        )
        self.metrics = metrics or Metrics()
        self.metrics.watch(self)
        self._model = model
        self._failure: str | None = None
        self._on_failure = on_failure
        self._is_loaded = threading.Event()
        if model is None:
            threading.Thread(target=self._load, name="load", daemon=True).start()
        else:
            self._is_loaded.set()

    @property
    def problem(self) -> str | None:
        """Say why no question can be answered yet; None if one can."""
        if self._failure is not None:
            return self._failure
        return None if self._is_loaded.is_set() else "the model is being loaded"

    @property
    def model(self) -> Answerer:
        """The model.

        Raises:
            BusyServerError: It is being loaded, or could not be.
        """
        if self._model is None:
            raise BusyServerError(self.problem or "", 5)
        return self._model

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

    async def close(self) -> None:
        """Finish or give up what is in hand."""
        seconds = self.settings.shutdown_seconds
        await anyio.to_thread.run_sync(self.desk.close, min(seconds, 3.0))
        await self.jobs.close()
        await anyio.to_thread.run_sync(self.workers.close)
        self.library.close()

    def _is_indexed(self) -> bool:
        """Tell whether the model keeps an index on disk, also before it is loaded."""
        if self._model is not None:
            return self._model.store is not None
        is_here = self.settings.backend != "openai"
        return is_here and model_type(self.settings.model) in OWN_TYPES

    def _load(self) -> None:
        try:
            self._model = load_answerer(self.settings)
        except Exception as error:
            self._failure = f"the model could not be loaded: {sentence(error)}"
            _logger.info("the model could not be loaded", exc_info=error)
            if self._on_failure is not None:
                self._on_failure(self._failure)
        self._is_loaded.set()


def service_of(request: Request) -> Service:
    """Give what the requests of an application share."""
    service: Service = request.app.state.service
    return service


def client_of(request: Request) -> str:
    """Tell whose turn a question takes."""
    return "" if request.client is None else request.client.host
