"""Where the model is: in a process of its own, or in this one.

In one of its own, what it does at a question takes nothing from whoever listens to
clients: Python runs one thread of a process at a time.
"""

from __future__ import annotations

import itertools
import logging
import pickle
import queue
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from dynfocus.bulk.worker_processes import obey_parent, start_worker
from dynfocus.errors import BusyServerError
from dynfocus.serving.answers import Answers, ModelFacts
from dynfocus.serving.noted import warnings_by_thread
from dynfocus.text import sentence
from dynfocus.video.confinement import confining

if TYPE_CHECKING:
    from dynfocus.serving.answerers import Answerer
    from dynfocus.serving.answering import OnText
    from dynfocus.video.decode_limits import DecodeLimits

_logger = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25
"""So often it is looked whether an answer is still wanted while nothing comes."""
_WAIT_SECONDS = 5
_MOST_STARTS = 3
"""A model whose processes end so often without an answer is given up."""

Load = Callable[[], "Answerer"]
OnFailure = Callable[[str], None]


class ModelHost:
    """Have a model somewhere, and let it do what `Answers` does.

    Args:
        on_failure: Called with the reason where the model cannot be loaded.
    """

    def __init__(self, on_failure: OnFailure | None = None) -> None:
        self._on_failure = on_failure
        self._facts: ModelFacts | None = None
        self._failure: str | None = None

    @property
    def problem(self) -> str | None:
        """Say why no question can be answered yet; None if one can."""
        if self._failure is not None:
            return self._failure
        return None if self._facts is not None else "the model is being loaded"

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model.

        Raises:
            BusyServerError: It is being loaded, or could not be.
        """
        problem = self.problem
        if problem is not None or self._facts is None:
            raise BusyServerError(problem or "", _WAIT_SECONDS)
        return self._facts

    def check(self) -> None:
        """Refuse what is asked while there is no model.

        Raises:
            BusyServerError: It is being loaded, or could not be.
        """
        _ = self.facts

    def call(self, name: str, *given: Any, on_text: OnText | None = None) -> Any:
        """Let a method of `Answers` do its work, from any thread.

        Args:
            name: The method.
            *given: Its arguments but for ``on_text``.
            on_text: Called with what it tells meanwhile; what it raises ends the work.

        Raises:
            BusyServerError: The model is being loaded, or its process ended.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End what was started for the model."""

    def _fail(self, error: BaseException) -> None:
        self._failure = f"the model could not be loaded: {sentence(error)}"
        _logger.info("the model could not be loaded", exc_info=error)
        if self._on_failure is not None:
            self._on_failure(self._failure)


class ModelHere(ModelHost):
    """Have a model in this process.

    Args:
        model: The model, or what loads it, in a thread.
        on_failure: Called with the reason where it cannot be loaded.
    """

    def __init__(
        self, model: Answerer | Load, on_failure: OnFailure | None = None
    ) -> None:
        super().__init__(on_failure)
        self._answers: Answers | None = None
        if callable(model):
            args = (model,)
            threading.Thread(
                target=self._load, args=args, name="load", daemon=True
            ).start()
        else:
            self._take(model)

    @property
    def model(self) -> Answerer:
        """The model itself."""
        self.check()
        assert self._answers is not None
        return self._answers.model

    def call(self, name: str, *given: Any, on_text: OnText | None = None) -> Any:
        """Do it in the thread that calls."""
        self.check()
        more = () if on_text is None else (on_text,)
        return getattr(self._answers, name)(*given, *more)

    def _load(self, load: Load) -> None:
        try:
            self._take(load())
        except Exception as error:  # noqa: BLE001 whoever asks is told
            self._fail(error)

    def _take(self, model: Answerer) -> None:
        self._answers = Answers(model)
        self._facts = self._answers.facts()


class ModelProcess(ModelHost):
    """Have a model in a process of its own, and in a new one where that ends.

    Args:
        load: Loads the model there, which unpickles this.
        limits: What a video may be, and take to decode.
        on_failure: Called with the reason where the model cannot be loaded.
    """

    def __init__(
        self, load: Load, limits: DecodeLimits, on_failure: OnFailure | None = None
    ) -> None:
        super().__init__(on_failure)
        self._load = load
        self._limits = limits
        self._numbers = itertools.count()
        self._waiting: dict[int, queue.SimpleQueue[tuple[str, Any]]] = {}
        self._sending = threading.Lock()
        self._is_open = True
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        threading.Thread(target=self._run, name="model", daemon=True).start()

    @property
    def pid(self) -> int | None:
        """The number of the process, if there is one."""
        return None if self._process is None else self._process.pid

    def call(self, name: str, *given: Any, on_text: OnText | None = None) -> Any:
        """Let the process do it, and pass on what it tells."""
        self.check()
        number, news = next(self._numbers), queue.SimpleQueue[tuple[str, Any]]()
        self._waiting[number] = news
        has_ended = False
        try:
            self._send((number, name, given, on_text is not None))
            while True:
                kind, value = _next(news)
                has_ended = kind in ("done", "failed")
                if kind == "done":
                    return value
                if kind == "failed":
                    raise value
                if on_text is not None:
                    on_text(value)
        finally:
            del self._waiting[number]
            if not has_ended:
                with suppress(BusyServerError):
                    self._send((number, None, (), False))

    def close(self) -> None:
        """End the process; what it was at is half done."""
        self._is_open = False
        if self._process is not None:
            self._process.kill()

    def _send(self, what: tuple[Any, ...]) -> None:
        try:
            with self._sending:
                assert self._connection is not None  # there are facts
                self._connection.send(what)
        except OSError as error:
            raise BusyServerError("the model is being loaded", _WAIT_SECONDS) from error

    def _run(self) -> None:
        """Start a process, hear of it until it ends, and start another."""
        num_vain = 0
        while self._is_open and self._failure is None and num_vain < _MOST_STARTS:
            num_vain += 1
            connection = self._start()
            try:
                while True:
                    number, kind, value = connection.recv()
                    if kind == "broken":
                        self._fail(value)
                    elif kind == "facts":
                        self._facts = value
                    elif (news := self._waiting.get(number)) is not None:
                        num_vain = 0
                        news.put((kind, value))
            except (EOFError, OSError):
                self._end()
        if self._is_open and self._failure is None:
            self._fail(RuntimeError("its process ended again and again"))

    def _start(self) -> Connection:
        self._process, self._connection = start_worker(_serve, self._load, self._limits)
        if not self._is_open:  # meanwhile
            self._process.kill()
        return self._connection

    def _end(self) -> None:
        """Take leave of a process that ended; whoever waits for it is told."""
        assert self._process is not None
        assert self._connection is not None
        self._facts = None
        self._process.kill()
        self._process.join()
        self._connection.close()
        for news in [*self._waiting.values()]:
            text = "the model's process ended"
            news.put(("failed", BusyServerError(text, _WAIT_SECONDS)))


def _next(news: queue.SimpleQueue[tuple[str, Any]]) -> tuple[str, Any]:
    """Give what a process tells; an empty text if it tells nothing for a while."""
    try:
        return news.get(timeout=_LOOK_SECONDS)
    except queue.Empty:
        return ("text", "")


class _UnwantedError(Exception):
    """Nobody waits for this any more."""


class _Line:
    """The line to those who ask, in the process of the model."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.wanted: set[int] = set()

    def tell(self, number: int, kind: str, value: Any) -> None:
        """Tell something of a call."""
        with self._lock, suppress(OSError):  # nobody is there any more
            self._connection.send((number, kind, value))

    def tell_text(self, number: int, text: str) -> None:
        """Tell a piece of a text; end the work if nobody wants it."""
        if number not in self.wanted:
            raise _UnwantedError
        if text:
            self.tell(number, "text", text)


def _serve(connection: Connection, load: Load, limits: DecodeLimits) -> None:
    """Do what is asked until nobody is there, in a process of its own."""
    obey_parent()
    line = _Line(connection)
    with warnings_by_thread(), confining(limits):
        try:
            answers = Answers(load())
            line.tell(0, "facts", answers.facts())
        except Exception as error:  # noqa: BLE001 whoever asks is told
            line.tell(0, "broken", _carried(error))
            return
        while True:
            try:
                number, name, given, is_told = connection.recv()
            except (EOFError, OSError):
                return
            if name is None:
                line.wanted.discard(number)
                continue
            line.wanted.add(number)
            args = (answers, line, number, name, given, is_told)
            threading.Thread(target=_do, args=args, daemon=True).start()


def _do(
    answers: Answers,
    line: _Line,
    number: int,
    name: str,
    given: tuple[Any, ...],
    is_told: bool,
) -> None:
    """Do one thing, in a thread."""

    def on_text(text: str) -> None:
        line.tell_text(number, text)

    try:
        more = (on_text,) if is_told else ()
        line.tell(number, "done", getattr(answers, name)(*given, *more))
    except _UnwantedError:
        _logger.debug("nobody waits for call %d any more", number)
    except Exception as error:  # noqa: BLE001 whoever asked is told
        line.tell(number, "failed", _carried(error))
    finally:
        line.wanted.discard(number)


def _carried(error: Exception) -> Exception:
    """Give an error as it can be carried to another process."""
    try:
        error.add_note(traceback.format_exc())
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 whatever it holds that cannot be carried
        return RuntimeError(sentence(error))
    return error
