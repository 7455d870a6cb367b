"""What all requests of a server share: its model, its desk of questions, its settings."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dynfocus.errors import BusyServerError, DynFocusWarning
from dynfocus.serving.answering import AnswerDesk
from dynfocus.serving.settings import ServerSettings
from dynfocus.text import sentence

if TYPE_CHECKING:
    from dynfocus.models import VideoModel


class Service:
    """Hold what requests share; the data of none of them.

    Args:
        settings: What the server was started with.
        model: What answers; by default that of the settings is loaded.
    """

    def __init__(
        self, settings: ServerSettings, model: VideoModel | None = None
    ) -> None:
        self.settings = settings
        self.started_seconds = time.time()
        self.desk = AnswerDesk(settings.answer_threads, settings.max_waiting)
        self._model = model
        self._failure: str | None = None
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
    def model(self) -> VideoModel:
        """The model.

        Raises:
            BusyServerError: It is being loaded, or could not be.
        """
        if self._model is None:
            raise BusyServerError(self.problem or "", 5)
        return self._model

    def close(self) -> None:
        """Finish or give up what is in hand."""
        self.desk.close(self.settings.shutdown_seconds)

    def _load(self) -> None:
        from dynfocus.bulk.asking import FAILURES, ModelLoader
        from dynfocus.models.options import LoadOptions

        options = LoadOptions(index_folder=self.settings.index_folder)
        try:
            self._model = ModelLoader(name=self.settings.model, options=options)()
        except (*FAILURES, ImportError) as error:
            self._failure = f"the model could not be loaded: {sentence(error)}"
        self._is_loaded.set()


_caught = threading.local()


@contextmanager
def noted_warnings() -> Iterator[list[str]]:
    """Note our own warnings of this thread, each once, in place of showing them."""
    notes: list[str] = []
    _caught.notes = notes
    try:
        yield notes
    finally:
        _caught.notes = None


@contextmanager
def warnings_by_thread() -> Iterator[None]:
    """Let every thread note its own warnings, for as long as a server runs."""
    with warnings.catch_warnings():
        show = warnings.showwarning
        warnings.simplefilter("always", DynFocusWarning)

        def note(
            message: Warning | str, category: type[Warning], *more: object
        ) -> None:
            notes = getattr(_caught, "notes", None)
            if notes is None or not issubclass(category, DynFocusWarning):
                show(message, category, *more)  # type: ignore[arg-type]
            elif str(message) not in notes:
                notes.append(str(message))

        warnings.showwarning = note  # type: ignore[assignment]
        yield
