"""Result files: whole or not there, and refused before the long work starts."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from dynfocus.errors import UnwritableFileError


def check_writable(path: str | Path, *, what: str = "the report") -> None:
    """Fail now if a file could not be written later.

    Args:
        path: The file to be written; it may exist already and is left as it is.
        what: How to call the file in the message.

    Raises:
        UnwritableFileError: The path is a folder, or its folder is missing or refuses
            new files.
    """
    path = Path(path)
    if path.is_dir():
        raise UnwritableFileError(
            f"{what} cannot be written to {path}: it is a folder; name a file"
        )
    if not path.parent.is_dir():
        raise UnwritableFileError(
            f"{what} cannot be written to {path}: the folder {path.parent} does not "
            "exist; create it or name another file"
        )
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


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file under another name and rename it, so that no half file is seen."""
    path = Path(path)
    part = _part(path)
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        _remove(part)


def _part(path: Path) -> Path:
    return path.parent / f".dynfocus-{os.getpid()}.part"


def _remove(part: Path) -> None:
    with suppress(OSError):  # a folder that refuses files holds no part of one
        part.unlink(missing_ok=True)
