"""Files that are whole or not there, whatever ends the program that writes them.

Every file of the project that somebody may read while it is written, or find after a
crash, is written here: under a hidden name beside it, brought to the disk, renamed.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dynfocus.errors import UnwritableFileError
from dynfocus.text import is_full_disk, mend_text

PART_SUFFIX = ".part"
"""How the hidden names end; what a killed process leaves is found by it."""

_SHOWN_CHARACTERS = 40  # of at most 4 bytes; a name may have 255


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a path to write to, which becomes the file when the block ends well.

    Several processes may write the same file at once: the last one's stays.

    Args:
        path: The file; replaced if it exists. A link is followed, and a pipe or a device
            stays what it is: the whole content is written into it at the end.

    Yields:
        A path that nobody else writes to.
    """
    path = Path(path)
    if path.is_symlink():
        path = path.resolve()
    if _is_special(path):
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / path.name
            yield part
            with part.open("rb") as whole, path.open("wb") as target:
                shutil.copyfileobj(whole, target)
        return
    part = _part(path)
    try:
        with naming_a_full_disk(path):
            yield part
            with part.open("rb+") as file:  # a power cut must not leave a hollow file
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        _remove(part)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give a folder to write into, which becomes the path when the block ends well.

    Args:
        path: The folder; not there, or empty.

    Yields:
        A hidden folder beside it; what a killed process left there is removed.
    """
    path = Path(path).absolute()
    part = path.with_name(f".{path.name}{PART_SUFFIX}")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with naming_a_full_disk(path):
            part.mkdir(parents=True)
            yield part
        if path.is_dir():  # that of the caller, or a place where a disk is mounted
            for file in part.iterdir():
                shutil.move(file, path)
        else:
            part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def naming_a_full_disk(path: Path) -> Iterator[None]:
    """Name the file that somebody wants where there is no space for it."""
    try:
        yield
    except Exception as error:
        if not is_full_disk(error):
            raise
        number = errno.ENOSPC
        raise OSError(number, os.strerror(number), str(path)) from error


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write a file, whole or not at all.

    Args:
        path: The file; replaced if it exists.
        content: What it holds; text as UTF-8, with a mark for half a character.
    """
    data = mend_text(content).encode() if isinstance(content, str) else content
    with atomic_file(path) as part:
        part.write_bytes(data)


def check_writable(
    path: str | Path, *, what: str = "the report", read: str | Path | None = None
) -> None:
    """Fail now if a file could not be written later.

    Args:
        path: The file to be written; it may exist already and is left as it is.
        what: How to call the file in the message.
        read: A file that is read, which must stay what it is.

    Raises:
        UnwritableFileError: The path is a folder or the file that is read, or its folder
            is missing or refuses new files.
    """
    path = Path(path)
    if read is not None and _is_same(path, Path(read)):
        raise UnwritableFileError(
            f"{what} cannot be written to {path}: that is the file that is read; name "
            "another"
        )
    if path.is_dir():
        raise UnwritableFileError(
            f"{what} cannot be written to {path}: it is a folder; name a file"
        )
    if not path.parent.is_dir():
        raise UnwritableFileError(
            f"{what} cannot be written to {path}: the folder {path.parent} does not "
            "exist; create it or name another file"
        )
    if _is_special(path):
        return
    part = _part(path)
    try:
        part.touch(exist_ok=False)
    except OSError as error:
        raise UnwritableFileError(
            f"{what} cannot be written to {path}: {error.strerror}; name a file in a "
            "folder that you may write to"
        ) from error
    finally:
        _remove(part)


def _is_special(path: Path) -> bool:
    """Tell a pipe or a device from a file, a folder and what is not there."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one of them is not there
        return False


def _part(path: Path) -> Path:
    name = f".{path.name[-_SHOWN_CHARACTERS:]}.{uuid.uuid4().hex}{PART_SUFFIX}"
    return path.with_name(name)


def _remove(part: Path) -> None:
    with suppress(OSError):  # a folder that refuses files holds no part of one
        part.unlink(missing_ok=True)
