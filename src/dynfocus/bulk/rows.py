"""Questions in bulk: what a row may say, checked before anything runs."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

_MAX_TOLD = 5
_COUNTS = ("max_frames", "max_video_tokens", "max_new_tokens")


@dataclass(frozen=True, kw_only=True)
class BulkRow:
    """One question about one video."""

    video: str
    """The file."""
    question: str | None = None
    """What to ask; without, the video is only indexed."""
    id: str = ""
    """Its name in the answers; by default made of the rest of the row."""
    fps: float = 1.0
    """Frames per second to sample."""
    max_frames: int | None = None
    """At most so many frames, taken evenly."""
    max_video_tokens: int | None = None
    """At most so many video tokens."""
    max_new_tokens: int = 64
    """At most so many tokens in the answer."""

    def __post_init__(self) -> None:
        _check_text("video", self.video)
        if self.question is not None:
            _check_text("question", self.question)
        if not (_is_number(self.fps) and 0 < self.fps < math.inf):
            raise ValueError(f"fps must be a number above 0, got {self.fps!r}")
        for name in _COUNTS:
            value = getattr(self, name)
            if value is None and name != "max_new_tokens":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"{name} must be a whole number of at least 1, got {value!r}"
                )


@dataclass(frozen=True)
class VideoJob:
    """All rows about one video, which one worker takes together."""

    video: str
    rows: tuple[BulkRow, ...]


def read_rows(lines: Iterable[str], defaults: dict[str, Any]) -> list[BulkRow]:
    """Read rows from JSON lines and check all of them.

    Args:
        lines: One JSON object a line with ``video``, ``question`` and possibly ``id``,
            ``fps``, ``max_frames``, ``max_video_tokens`` and ``max_new_tokens``; empty
            lines are skipped.
        defaults: What holds for rows that do not say otherwise.

    Returns:
        The rows, each with an id of its own.

    Raises:
        ValueError: Some lines are wrong; the first few are named.
    """
    rows: list[BulkRow] = []
    numbers: dict[str, int] = {}
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _with_id(_read_row(line, defaults), numbers)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        numbers[row.id] = number
        rows.append(row)
    if problems:
        more = len(problems) - _MAX_TOLD
        rest = f"; and {more} more lines" if more > 0 else ""
        raise ValueError("; ".join(problems[:_MAX_TOLD]) + rest)
    if not rows:
        raise ValueError(
            'there are no rows; write one a line, such as {"video": "clip.mp4", '
            '"question": "What happens?"}'
        )
    return rows


def group_by_video(rows: Sequence[BulkRow]) -> list[VideoJob]:
    """Put the rows of each video together, videos in the order of their first row."""
    groups: dict[str, list[BulkRow]] = {}
    for row in rows:
        groups.setdefault(row.video, []).append(row)
    return [VideoJob(video, tuple(found)) for video, found in groups.items()]


def _read_row(line: str, defaults: dict[str, Any]) -> BulkRow:
    try:
        given = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"this is not JSON ({error.msg})") from error
    if not isinstance(given, dict):
        raise ValueError(f"expected a JSON object, got {type(given).__name__}")
    known = [field.name for field in fields(BulkRow)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(
            f"there is no field {unknown[0]!r}; a row has {', '.join(known)}"
        )
    if "video" not in given:
        raise ValueError("the field 'video' is missing")
    if isinstance(given.get("id"), int) and not isinstance(given["id"], bool):
        given["id"] = str(given["id"])
    if "id" in given:
        _check_text("id", given["id"])
    return BulkRow(**(defaults | given))


def _with_id(row: BulkRow, numbers: dict[str, int]) -> BulkRow:
    """Give a row without an id one that the same row has in every run."""
    if row.id:
        if row.id in numbers:
            raise ValueError(
                f"the id {row.id!r} is that of line {numbers[row.id]}, too"
            )
        return row
    content = json.dumps(asdict(row), sort_keys=True)
    name = hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
    copies = 1
    unique = name
    while unique in numbers:
        copies += 1
        unique = f"{name}-{copies}"
    return replace(row, id=unique)


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be a text that is not empty, got {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
