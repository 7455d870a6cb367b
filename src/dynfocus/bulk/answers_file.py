"""Answers in a file that grows by a line each, and what a later run finds in it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from dynfocus.bulk.rows import BulkRow

Record = dict[str, Any]


class AnswersFile:
    """Append records as JSON lines, one a row, never two.

    Half a line at the end, left by a run that was killed, is dropped. While it is open
    no other run can open it.

    Args:
        path: The file; made if it is not there.
        rows: The rows of this run.
        retries: Whether rows that failed in an earlier run are open again.

    Raises:
        ValueError: The file is not one of answers, or one of other rows.
        BlockingIOError: Another run writes into it.
    """

    def __init__(
        self, path: str | Path, rows: Sequence[BulkRow], *, retries: bool = False
    ) -> None:
        self.path = Path(path)
        self._rows = {row.id: row for row in rows}
        self._retries = retries
        self._records: dict[str, Record] = {}
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab+")
        try:
            self._lock()
            self._load()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def open_rows(self) -> list[BulkRow]:
        """The rows without a record, in their order."""
        return [row for name, row in self._rows.items() if name not in self._records]

    @property
    def num_failed(self) -> int:
        """Count the rows of this run whose record is an error."""
        return sum("error" in self._records.get(name, ()) for name in self._rows)

    def append(self, record: Record) -> bool:
        """Write a record, unless its row has one.

        Args:
            record: What came of a row, with its ``id``.

        Returns:
            Whether it was written.
        """
        if record["id"] in self._records:
            return False
        assert self._file is not None  # within `with`
        line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        self._file.write(line.encode())
        self._file.flush()
        self._records[record["id"]] = record
        return True

    def _lock(self) -> None:
        if sys.platform == "win32":
            return
        import fcntl

        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                f"{self.path}: another run writes into this file; wait for it, or name "
                "another"
            ) from error

    def _load(self) -> None:
        assert self._file is not None
        self._file.seek(0)
        whole, mark, _ = self._file.read().rpartition(b"\n")
        self._file.truncate(len(whole) + len(mark))
        lines = whole.split(b"\n") if mark else []
        records = [self._parse(n, line) for n, line in enumerate(lines, 1)]
        failed = {r["id"] for r in records if "error" in r and r["id"] in self._rows}
        if self._retries and failed:
            self._drop(failed, lines, records)
            records = [r for r in records if r["id"] not in failed]
        self._records = {record["id"]: record for record in records}

    def _parse(self, number: int, line: bytes) -> Record:
        try:
            record = json.loads(line)
            name, video, question = record["id"], record["video"], record["question"]
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.path}: line {number} is no answer; delete the file or name "
                "another"
            ) from error
        row = self._rows.get(name)
        if row is not None and (row.video, row.question) != (video, question):
            raise ValueError(
                f"{self.path}: line {number} answers another question under the id "
                f"{name!r}; name another file"
            )
        return dict(record)

    def _drop(
        self, names: Collection[str], lines: Sequence[bytes], records: Sequence[Record]
    ) -> None:
        """Take records out: all others are written beside, then back in one go."""
        kept = [
            line + b"\n"
            for line, record in zip(lines, records, strict=True)
            if record["id"] not in names
        ]
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        beside.write_bytes(b"".join(kept))
        assert self._file is not None
        self._file.close()
        beside.replace(self.path)
        self._file = self.path.open("ab+")
        self._lock()
