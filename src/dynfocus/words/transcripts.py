"""Transcripts of speech: JSON of Whisper and its relatives, and what YouTube gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dynfocus.text import read_moment
from dynfocus.words.cues import Cue

_SPOKEN_XML = re.compile(
    r'<text start="([\d.]+)"(?: dur="([\d.]+)")?[^>]*>(.*?)</text>', re.DOTALL
)
_TIMED_XML = re.compile(r'<p t="(\d+)"(?: d="(\d+)")?[^>]*>(.*?)</p>', re.DOTALL)
_MOMENT_LINE = re.compile(r"\s*((?:\d+:)?\d+:\d\d)\s*(.*)")
_LAST_SECONDS = 5.0  # how long a text is shown that has no end


def cues_of_json(text: str) -> tuple[list[Cue], str | None]:
    """Read the JSON of a transcript, whoever made it.

    Whisper, WhisperX and faster-whisper write ``segments`` in seconds, whisper.cpp
    ``transcription`` in milliseconds, YouTube ``events``, and readers of YouTube's page a
    list of ``text``, ``start`` and ``duration``.

    Args:
        text: What the file holds.

    Returns:
        Its cues and the code of its language, if it says.

    Raises:
        ValueError: It is no JSON, or none of these.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON ({error})") from error
    held = document if isinstance(document, dict) else {}
    language = held.get("language") or (held.get("result") or {}).get("language")
    rows = document if isinstance(document, list) else None
    for name in ("segments", "transcription", "events", "chunks", "snippets"):
        rows = held.get(name) if rows is None else rows
    if not isinstance(rows, list):
        raise ValueError("its JSON has no segments, transcription or events of a text")
    cues = [cue for row in rows if (cue := _cue_of(row)) is not None]
    return cues, language if isinstance(language, str) else None


def _cue_of(row: Any) -> Cue | None:
    """Read one entry; None for one that says nothing."""
    if not isinstance(row, Mapping):
        return None
    text = row.get("text")
    if text is None and isinstance(row.get("segs"), list):
        text = "".join(str(part.get("utf8", "")) for part in row["segs"])
    times = _times_of(row)
    if not isinstance(text, str) or times is None or not text.strip():
        return None
    speaker = row.get("speaker")
    return Cue(*times, text, speaker if isinstance(speaker, str) else None)


def _times_of(row: Mapping[str, Any]) -> tuple[float, float] | None:
    """Find the times of an entry, in seconds."""
    offsets = row.get("offsets")
    if isinstance(offsets, Mapping):
        found = [offsets.get("from"), offsets.get("to")]
        scale = 1000.0
    elif "tStartMs" in row:
        found = [row["tStartMs"], _sum(row["tStartMs"], row.get("dDurationMs", 0))]
        scale = 1000.0
    else:
        stamp = row.get("timestamp")
        pair = stamp if isinstance(stamp, list) and len(stamp) == 2 else [None, None]
        start = row.get("start", pair[0])
        end = row.get("end", pair[1])
        found = [start, _sum(start, row.get("duration", 0)) if end is None else end]
        scale = 1.0
    numbers = [float(n) / scale for n in found if isinstance(n, int | float)]
    if len(numbers) < len(found):
        return None
    start, end = numbers
    is_sane = 0 <= start < float("inf") and end < float("inf")
    return (start, end) if is_sane else None


def _sum(start: Any, length: Any) -> Any:
    numbers = int | float
    fits = isinstance(start, numbers) and isinstance(length, numbers)
    return start + length if fits else start


def cues_of_xml(text: str) -> list[Cue]:
    """Read the XML of YouTube's captions, in seconds or in milliseconds.

    Args:
        text: What the file holds.
    """
    found = [(m[1], m[2], m[3], 1.0) for m in _SPOKEN_XML.finditer(text)]
    found += [(m[1], m[2], m[3], 1000.0) for m in _TIMED_XML.finditer(text)]
    return [
        Cue(float(start) / scale, (float(start) + float(length or 0)) / scale, said)
        for start, length, said, scale in found
    ]


def cues_of_moments(lines: Iterable[str]) -> Iterator[Cue]:
    """Read a transcript as people copy it from a page: a moment, then what is said.

    The text follows on the line of the moment or below it, up to the next moment.

    Args:
        lines: Lines of the file.
    """
    start: float | None = None
    said: list[str] = []
    for line in lines:
        found = _MOMENT_LINE.fullmatch(line.rstrip())
        if found is None:
            said.append(line)
            continue
        moment = read_moment(found[1], "the moment of a line")
        if start is not None:
            yield Cue(start, moment, "\n".join(said))
        start, said = moment, [found[2]]
    if start is not None:
        yield Cue(start, start + _LAST_SECONDS, "\n".join(said))
