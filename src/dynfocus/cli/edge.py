"""The edge of the program, where every failure becomes one sentence and an exit code."""

from __future__ import annotations

import codecs
import io
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import typer
from typer.main import get_command

from dynfocus.cli.console import say, warn
from dynfocus.text import is_full_disk, sentence

DONE, FAILED, WRONG_CALL, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

_USAGE_ERROR = typer.BadParameter.__mro__[1]  # click's, which typer carries inside
_PACKAGE = str(Path(__file__).resolve().parents[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the program's name; by default that of this process.

    Returns:
        The exit code: 0 done, 1 the work failed, 2 the call was wrong, 130 interrupted,
        143 terminated.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    is_debug = _take_debug(words)
    _prepare_streams()
    with _own_warnings(show_all=is_debug), _orderly_end():
        try:
            return _run(words)
        except BrokenPipeError:
            # Python would complain again when it flushes the closed pipe at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except (KeyboardInterrupt, typer.Abort):
            return INTERRUPTED
        except _TerminationError:
            return TERMINATED
        except Exception as error:  # noqa: BLE001 the edge turns all of them into a line
            return _ended_by(error) or _report(error, is_debug=is_debug)


def _run(words: list[str]) -> int:
    from dynfocus.cli.application import app

    code = get_command(app).main(words, prog_name="dynfocus", standalone_mode=False)
    sys.stdout.flush()
    if isinstance(sys.stdout, _ClosedStream) and sys.stdout.has_lost:
        raise OSError("standard output is closed, so the result is lost; redirect it")
    return code if isinstance(code, int) else DONE


class _ClosedStream(io.TextIOWrapper):
    """Stand for a standard stream that was closed, and note what is lost in it."""

    has_lost = False

    def write(self, text: str) -> int:
        self.has_lost = self.has_lost or bool(text)
        return super().write(text)


def _prepare_streams() -> None:
    """Let names that are not UTF-8 be printed, and closed streams be empty ones.

    Else the next file that is opened would take the place of a closed stream, and what
    FFmpeg or a worker prints would go into it.
    """
    codecs.register_error("names", _as_named)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            null = os.open(os.devnull, os.O_RDWR)  # takes the lowest place that is free
            file = open(null, f"{mode}b", closefd=False)  # noqa: SIM115
            setattr(sys, name, _ClosedStream(file, encoding="utf-8", errors="replace"))
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="names")


def _as_named(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write the bytes of a name as they are, and what else is no character escaped."""
    assert isinstance(error, UnicodeEncodeError)  # streams that are written to
    found = error.object[error.start : error.end]
    escaped = "".join(c if "\udc80" <= c <= "\udcff" else ascii(c)[1:-1] for c in found)
    return escaped.encode("ascii", "surrogateescape"), error.end


def _ended_by(error: BaseException | None) -> int | None:
    """Find a request to end that some library has made its own error of."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt | _TerminationError):
            return TERMINATED if isinstance(error, _TerminationError) else INTERRUPTED
        error = error.__cause__ or error.__context__
    return None


class _TerminationError(BaseException):
    """The program is asked to end."""


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Let a request to end take away what is half written, and the workers."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough
        raise _TerminationError

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _take_debug(words: list[str]) -> bool:
    """Take ``--debug`` out, wherever it stands before a ``--``."""
    end = words.index("--") if "--" in words else len(words)
    given = "--debug" in words[:end]
    words[:end] = [word for word in words[:end] if word != "--debug"]
    return given or os.environ.get("DYNFOCUS_DEBUG", "") not in ("", "0")


def _report(error: Exception, *, is_debug: bool) -> int:
    if isinstance(error, _USAGE_ERROR):
        return _report_usage(error)
    if is_debug:
        traceback.print_exc()
        return FAILED
    if isinstance(error, (ValueError, OSError, ImportError)) or is_full_disk(error):
        say(f"dynfocus: {sentence(error)}")
    else:
        text = " ".join(str(error).split())[:200]
        say(
            f"dynfocus: unexpected {type(error).__name__}: {text}; run the command "
            "again with --debug to see where, and please report it"
        )
    return FAILED


def _report_usage(error: Exception) -> int:
    """Say what is wrong with the call; without any arguments, the help is shown."""
    context = getattr(error, "ctx", None)
    message = getattr(error, "message", "")
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message or (context.get_help() if context else ""))
        return WRONG_CALL
    format_message = getattr(error, "format_message", lambda: message)
    text = " ".join(str(format_message()).split()).rstrip(".")
    command = context.command_path if context else "dynfocus"
    say(f"dynfocus: {text}; see '{command} --help'")
    return WRONG_CALL


@contextmanager
def _own_warnings(*, show_all: bool) -> Iterator[None]:
    """Show our own warnings as one line each, and nobody else's."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        is_ours = category.__module__.startswith("dynfocus.")
        if is_ours or show_all or filename.startswith(_PACKAGE):
            warn(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = show
        yield
