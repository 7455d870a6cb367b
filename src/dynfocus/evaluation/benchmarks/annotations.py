"""Annotation files of others: found by name, read whatever their kind, checked by row."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dynfocus.text import read_text

Row = dict[str, Any]
SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")
_DEPTHS = ("", "*/", "*/*/")
_LETTERS = "ABCDEFGHIJ"
_HEAD = re.compile(r"(?:\([A-J]\)|[A-J][.):])\s*")


def find_files(data: Path, patterns: Sequence[str]) -> list[Path]:
    """Find the files of the first pattern that any file under a folder has.

    Args:
        data: The folder; it and two levels below are searched, the upper ones first.
        patterns: Names or patterns, the likeliest first.
    """
    for pattern in patterns:
        for depth in _DEPTHS:
            found = sorted(
                path for path in data.glob(f"{depth}{pattern}") if path.is_file()
            )
            if found:
                return found
    return []


def need_files(data: Path, patterns: Sequence[str], benchmark: str) -> list[Path]:
    """Find files as `find_files` does.

    Raises:
        ValueError: There is none.
    """
    if not data.is_dir():
        raise ValueError(f"{data} is no folder; --data names the folder of {benchmark}")
    found = find_files(data, patterns)
    if not found:
        raise ValueError(
            f"{data} holds no annotations of {benchmark} (looked for "
            f"{', '.join(patterns)}); 'dynfocus eval check {benchmark} --data {data}' says "
            "where to get them"
        )
    return found


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: It is none; its name and the place are said.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} is not whole JSON ({error.msg}, line {error.lineno}); fetch it again"
        ) from error


def read_rows(path: Path) -> list[Row]:
    """Read the rows of an annotation file, told by its ending.

    Args:
        path: A JSON list of rows or an object of columns, JSON lines, CSV with a head,
            or Parquet.

    Raises:
        ValueError: It holds something else.
    """
    readers: dict[str, Callable[[Path], Any]] = {
        ".csv": _read_csv,
        ".jsonl": _read_lines,
        ".parquet": _read_parquet,
        ".json": _read_json_rows,
    }
    rows = readers.get(path.suffix.lower(), _read_json_rows)(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path} holds no list of rows")
    if not rows:
        raise ValueError(f"{path} holds no rows; fetch it again")
    return rows


def _read_json_rows(path: Path) -> Any:
    try:
        content = read_json(path)
        if isinstance(content, dict) and content and _are_columns(content.values()):
            return [
                dict(zip(content, values, strict=True))
                for values in zip(*content.values(), strict=True)
            ]
        return content
    except ValueError:
        lines = read_text(path).splitlines()
        if len(lines) > 1 and lines[0].strip().endswith("}"):
            return _read_lines(path)  # JSON lines under another ending
        raise


def _are_columns(values: Iterable[Any]) -> bool:
    """Tell whether all values are lists of one length, as a table's columns are."""
    lengths = {len(one) if isinstance(one, list) else -1 for one in values}
    return len(lengths) == 1 and lengths != {-1}


def _read_lines(path: Path) -> list[Any]:
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"{path}: line {number} is not JSON ({error.msg}); fetch it again"
                ) from error
    return rows


def _read_csv(path: Path) -> list[Row]:
    return list(csv.DictReader(io.StringIO(read_text(path), newline="")))


def _read_parquet(path: Path) -> list[Any]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise ImportError(
            f"{path}: reading Parquet needs pyarrow; run pip install 'dynfocus[eval]'"
        ) from error
    try:
        return list(parquet.read_table(path).to_pylist())
    except ArrowInvalid as error:
        raise ValueError(f"{path} is no whole Parquet file; fetch it again") from error


def read_table(
    data: Path, patterns: Sequence[str], benchmark: str, fields: Sequence[str]
) -> tuple[list[Path], list[Row]]:
    """Read the rows of a benchmark that has one shape, whatever the kind of its files.

    Args:
        data: The folder.
        patterns: Names or patterns of the files, the likeliest first.
        benchmark: What errors call it.
        fields: What its rows have.

    Returns:
        The files, and all their rows. Rows of videos, with their questions in a list
        under ``questions``, become a row a question.

    Raises:
        ValueError: There are no such files, or their rows have other fields.
    """
    files = need_files(data, patterns, benchmark)
    rows = [
        {**row, **asked}
        for path in files
        for row in read_rows(path)
        for asked in row.get("questions", ({},))
    ]
    if not rows or not has_fields(rows[0], *fields):
        wanted = f"the known: {', '.join(fields)}"
        raise unknown_shape(files[0], rows[0] if rows else {}, wanted)
    return files, rows


def has_fields(row: Mapping[str, Any], *names: str) -> bool:
    """Tell whether a row has all these fields."""
    return all(name in row for name in names)


def unknown_shape(path: Path, row: Mapping[str, Any], wanted: str) -> ValueError:
    """Make the error about a file whose rows have none of the known shapes."""
    return ValueError(
        f"{path}: its rows have the fields {', '.join(sorted(map(str, row)))}, which are "
        f"none of {wanted}"
    )


def letter(place: int) -> str:
    """Name the option at a place, from 0."""
    return _LETTERS[place]


def letter_of(answer: str, choices: Sequence[str], *, last: bool = False) -> str:
    """Find the letter of an answer that is given as the text of an option.

    Args:
        answer: The text.
        choices: The options.
        last: Whether the last of equal options counts, else the first.

    Returns:
        The letter; empty where no option has the text.
    """
    places = [place for place, choice in enumerate(choices) if choice == answer]
    return letter(places[-1 if last else 0]) if places else ""


def without_letter(option: str) -> str:
    """Take the letter from an option such as ``"A. Red."`` or ``"(A) red"``."""
    text = str(option).strip()
    head = _HEAD.match(text)
    return text[head.end() :] if head else text


def number_copies(names: Iterable[str]) -> list[str]:
    """Give names that differ: the second of a name gets ``#2`` and so on."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return result
