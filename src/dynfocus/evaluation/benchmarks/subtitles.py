"""Subtitles of benchmarks beside a question: all of them, or those at the sampled frames.

SubRip and its like are read by `dynfocus.words`; two shapes are those of a benchmark
alone: LongVideoBench's list, whose times may be texts and begin at another moment than
the video, and Video-MME-v2's line a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import read_json
from dynfocus.text import read_text

_SUFFIXES = (".srt", ".vtt", ".json", ".jsonl", ".ass")
_FOLDERS = ("subtitle", "subtitles", "subs", "")
_LEAST_SECONDS = 1.0


@dataclass(frozen=True)
class Line:
    """What is said from one moment to another, in seconds."""

    start: float
    end: float
    text: str


def find_subtitles(data: Path, name: str) -> Path | None:
    """Find the file of a video's subtitles.

    Args:
        data: The folder of the benchmark.
        name: What the annotations call the file, with or without an ending.
    """
    for folder in _FOLDERS:
        for ending in ("", *_SUFFIXES):
            path = data / folder / f"{name}{ending}"
            if path.is_file():
                return path
    return None


def read_lines(path: Path, starts: float = 0.0) -> list[Line]:
    """Read a file of subtitles.

    Args:
        path: The file.
        starts: The moment of the file's clock at which the video begins.

    Returns:
        Its lines by their start; an end that is not told is the next line's start, that
        of the last one an hour later.
    """
    if path.suffix == ".jsonl":
        rows = [json.loads(one) for one in read_text(path).splitlines() if one.strip()]
        found = [(row["start_time"], row["end_time"], row["text"]) for row in rows]
    elif path.suffix == ".json":
        found = [_read(row) for row in read_json(path)]
    else:
        from dynfocus.words.subtitles import read_subtitles

        found = [(one.start, one.end, one.text) for one in read_subtitles(path)]
    lines = []
    for start, end, text in found:
        begin = float(start) - starts
        stop = float(end) - starts if isinstance(end, int | float) else begin + 3600.0
        lines.append(Line(begin, max(begin, stop), " ".join(str(text).split())))
    return sorted(lines, key=lambda line: line.start)


def _read(row: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Read a row of LongVideoBench, in either of its shapes."""
    if "timestamp" in row:
        start, end = row["timestamp"]
        return start, end, row["text"]
    return _seconds(row["start"]), _seconds(row["end"]), row["line"]


def _seconds(moment: str | float) -> float:
    """Read ``H:MM:SS.f``."""
    total = 0.0
    for part in str(moment).split(":"):
        total = 60 * total + float(part)
    return total


def choose_lines(
    lines: Sequence[Line], times: Sequence[float] | None = None
) -> list[Line]:
    """Keep the lines during which a frame was sampled, each once, in order.

    A line that lasts less than a second is taken for a second around its middle.

    Args:
        lines: The lines.
        times: Times of the frames in seconds; None to keep all lines.
    """
    if times is None:
        return list(lines)
    kept = []
    for line in lines:
        reach = max(line.end - line.start, _LEAST_SECONDS) / 2
        middle = (line.start + line.end) / 2
        if any(middle - reach <= time < middle + reach for time in times):
            kept.append(line)
    return kept


def add_subtitles(question: str, lines: Sequence[Line]) -> str:
    """Put subtitles before a question; none leave it as it is."""
    texts = [line.text for line in lines if line.text]
    if not texts:
        return question
    return "The subtitles of the video are:\n" + "\n".join(texts) + f"\n{question}"
