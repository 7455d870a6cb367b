"""Warnings of ours by thread, since each belongs to the request that caused it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from dynfocus.errors import DynFocusWarning

_caught = threading.local()
_show = warnings.showwarning


@contextmanager
def noted_warnings() -> Iterator[list[str]]:
    """Note our own warnings of this thread, each once, in place of showing them."""
    _listen()
    notes: list[str] = []
    _caught.notes = notes
    try:
        yield notes
    finally:
        _caught.notes = None


@contextmanager
def warnings_by_thread() -> Iterator[None]:
    """Leave warnings at the end as they were, whatever `noted_warnings` changes."""
    with warnings.catch_warnings():
        yield


def _listen() -> None:
    """Hear of every warning of ours, unless that is so."""
    global _show
    if warnings.showwarning is _note:
        return
    _show = warnings.showwarning
    warnings.simplefilter("always", DynFocusWarning)
    warnings.showwarning = _note


def _note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    notes = getattr(_caught, "notes", None)
    if notes is None or not issubclass(category, DynFocusWarning):
        _show(message, category, filename, lineno, file, line)
    elif str(message) not in notes:
        notes.append(str(message))
