"""A file of JSON lines that grows by a record at a time and outlives every end."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any, Self

from dynfocus.atomic import naming_a_full_disk, write_atomically
from dynfocus.text import to_json

Record = dict[str, Any]
_STAMP = "made_with"


class JsonLines:
    """Append records to a file, each whole and at once.

    Half a line at the end, left by a run that was killed, is dropped. While the file is
    open no other run can open it.

    Args:
        path: The file; made if it is not there.
        stamp: What all records depend on. It is the first line; a file with another is
            refused. None for a file of records alone.

    Attributes:
        records: What the file holds.

    Raises:
        ValueError: The file holds something else.
        BlockingIOError: Another run writes into it.
    """

    def __init__(
        self, path: str | Path, stamp: Mapping[str, Any] | None = None
    ) -> None:
        self.path = Path(path)
        self.records: list[Record] = []
        self._stamp = None if stamp is None else {_STAMP: json.loads(to_json(stamp))}
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open()
            self.records = self._load()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with naming_a_full_disk(self.path):  # what is left is written now
                self._file.close()

    def append(self, record: Record) -> None:
        """Write a record at the end."""
        self._write(record)
        self.records.append(record)

    def keep(self, records: Collection[Record]) -> None:
        """Leave some of the records alone in the file, which is replaced in one go."""
        lines = [*([self._stamp] if self._stamp else []), *records]
        write_atomically(self.path, "".join(f"{to_json(line)}\n" for line in lines))
        assert self._file is not None  # within `with`
        self._file.close()
        self._open()
        self.records = list(records)

    def _write(self, line: Record) -> None:
        assert self._file is not None  # within `with`
        with naming_a_full_disk(self.path):
            self._file.write(f"{to_json(line)}\n".encode())
            self._file.flush()

    def _open(self) -> None:
        self._file = self.path.open("ab+")
        if sys.platform == "win32":
            return
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                f"{self.path}: another run writes into this file; wait for it, or name "
                "another"
            ) from error

    def _load(self) -> list[Record]:
        """Read all whole lines, and take the rest away."""
        assert self._file is not None
        self._file.seek(0)
        whole, mark, _ = self._file.read().rpartition(b"\n")
        found = whole.split(b"\n") if mark else []
        records = [self._parse(number, line) for number, line in enumerate(found, 1)]
        if self._stamp is not None and records:
            self._check_stamp(records.pop(0))
        self._file.truncate(len(whole) + len(mark))
        if self._stamp is not None and not found:
            self._write(self._stamp)
        return records

    def _parse(self, number: int, line: bytes) -> Record:
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise ValueError(
                f"{self.path}: line {number} is no record of a run; delete the file or "
                "name another"
            )
        return record

    def _check_stamp(self, found: Record) -> None:
        if found == self._stamp:
            return
        what = "a run with other settings or another model"
        if found.keys() != {_STAMP}:
            what = "something else than this run"
        raise ValueError(f"{self.path} belongs to {what}; delete it or name another")
