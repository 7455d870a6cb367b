"""Locks among processes on a file, where the system has them; elsewhere nobody is kept out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(path: Path | None) -> Iterator[None]:
    """Hold a lock, and wait for it as long as it takes; None is no lock."""
    if path is None or fcntl is None:
        yield
        return
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Hold a lock if nobody holds it; tells whether that is so."""
    with path.open("wb") as file:
        yield _try(file)


class SharedLock:
    """A lock that many hold together, and whose first holder knows that it is alone.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def enter(self) -> bool:
        """Hold the lock, alone if nobody else does; tells whether that is so."""
        self.leave()
        self._file = self._path.open("wb")
        is_alone = _try(self._file)
        if not is_alone:
            fcntl.flock(self._file, fcntl.LOCK_SH)
        return is_alone

    def share(self) -> None:
        """Let others hold it, too."""
        if self._file is not None and fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_SH)

    def leave(self) -> None:
        """Hold it no more."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _try(file: IO[bytes]) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
