"""Cues: what a file of subtitles says from one moment to another, and how it is cleaned.

Files are read line by line, so that one that is far too long costs no memory: srt, vtt and
sbv have a line of two times before each cue, ass and ssa a line for each cue.
"""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dynfocus.errors import UnreadWordsWarning
from dynfocus.text import is_blank, plural
from dynfocus.words.timed_text import Source, TimedText

MAX_CUES = 200_000
"""Most cues that are kept of one file; a day of speech has about a fifth."""

_TIME = r"(?:(\d+):)?(\d+):(\d+)(?:[.,](\d+))?"
_TIMES = re.compile(rf"\s*{_TIME}\s*(?:-->|,)\s*{_TIME}(?:\s.*)?")
_TAG = re.compile(
    r"<v(?:\.[\w.]+)?\s+([^>]+)>|</?[a-zA-Z][^<>]*>|<[\d:.]+>|\{\\[^}]*\}"
)
_DRAWING = re.compile(r"\{[^}]*\\p[1-9]")
_NOTES = ("NOTE", "STYLE", "REGION")
_ROLL_SECONDS = 0.5


class Cue(NamedTuple):
    """A text and when it is shown, as a file of subtitles has it."""

    start: float
    """Seconds from the beginning of the file."""
    end: float
    """Seconds from the beginning of the file."""
    text: str
    """What it says, with its marks."""
    speaker: str | None = None
    """Who says it."""


def read_times(line: str) -> tuple[float, float] | None:
    """Read a line of two times, as in srt, vtt and sbv; None if it is none."""
    found = _TIMES.fullmatch(line)
    if found is None:
        return None
    parts = found.groups()
    return _seconds(*parts[:4]), _seconds(*parts[4:])


def cues_of_lines(lines: Iterable[str]) -> Iterator[Cue]:
    """Read srt, vtt and sbv: after each line of times the text, up to the next one.

    Args:
        lines: Lines of the file.
    """
    times: tuple[float, float] | None = None
    text: list[str] = []
    for line in _without_notes(lines):
        found = read_times(line)
        if found is None:
            text.append(line)
            continue
        if times is not None:
            yield Cue(*times, "\n".join(_without_name(text)))
        times, text = found, []
    if times is not None:
        yield Cue(*times, "\n".join(text))


def _without_notes(lines: Iterable[str]) -> Iterator[str]:
    """Leave out blocks of vtt that are not shown."""
    is_first, is_note = True, False
    for line in lines:
        if not line.strip():
            is_first, is_note = True, False
        elif is_first:
            is_first, is_note = False, line.split()[0] in _NOTES
        if not is_note:
            yield line


def _without_name(text: list[str]) -> list[str]:
    """Take away the number or name that stands before the next cue's times."""
    while text and not text[-1].strip():
        text = text[:-1]
    is_named = text and (text[-1].strip().isdigit() or text[-2:-1] == [""])
    return text[:-1] if is_named else text


def cues_of_ass(lines: Iterable[str]) -> Iterator[Cue]:
    """Read ass and ssa: a line ``Dialogue:`` a cue, its fields named by ``Format:``.

    Args:
        lines: Lines of the file.
    """
    names = ["layer", "start", "end", "style", "name", "", "", "", "", "text"]
    is_events = True
    for line in lines:
        key, _, rest = line.partition(":")
        if line.startswith("["):
            is_events = line.strip().lower() == "[events]"
        elif key == "Format" and is_events:
            names = [name.strip().lower() for name in rest.split(",")]
        elif key == "Dialogue":
            values = dict(zip(names, rest.split(",", len(names) - 1), strict=False))
            times = read_times(f"{values.get('start')},{values.get('end')}")
            text = values.get("text", "")
            if times is not None and not _DRAWING.search(text):
                speaker = (values.get("name") or values.get("actor") or "").strip()
                yield Cue(*times, text, speaker or None)


def clean(text: str) -> tuple[str, str | None]:
    """Take marks out of a cue's text.

    Args:
        text: Text with the tags of srt, vtt or ass.

    Returns:
        Its lines, without white space around them and none of them empty; and who speaks.
    """
    speaker = next((one[1].strip() for one in _TAG.finditer(text) if one[1]), None)
    plain = _TAG.sub("", text.replace("\\N", "\n").replace("\\n", "\n"))
    plain = html.unescape(plain).replace("\\h", " ").replace("\ufffe", "")
    lines = (" ".join(line.split()) for line in plain.splitlines())
    return "\n".join(line for line in lines if line and not is_blank(line)), speaker


def keep_cues(
    cues: Iterable[Cue],
    where: str,
    *,
    source: Source,
    duration: float | None = None,
    late_seconds: float = 0.0,
    language: str | None = None,
) -> list[TimedText]:
    """Make timed texts of cues; what cannot belong to the video is left out and told.

    A cue that repeats lines of the one before it, as captions that roll up do, gives the
    new lines alone.

    Args:
        cues: The cues, in any order.
        where: How to call the file in warnings.
        source: What the texts are.
        duration: Length of the video in seconds; None if it is not known.
        late_seconds: How much later than the file the picture starts.
        language: The code of their language.

    Returns:
        Texts by their start.
    """
    kept: list[TimedText] = []
    num_beyond = num_read = 0
    for cue in cues:
        if len(kept) == MAX_CUES or num_beyond > MAX_CUES:
            _warn(f"{where}: only its first {plural(num_read, 'cue')} are read")
            break
        num_read += 1
        start, end = cue.start - late_seconds, max(cue.end, cue.start) - late_seconds
        if duration is not None and start >= duration:
            num_beyond += 1
            continue
        text, speaker = clean(cue.text)
        if not text or end < 0:
            continue
        kept.append(
            TimedText(
                start=max(start, 0.0),
                end=end if duration is None else min(end, duration),
                text=text,
                source=source,
                language=language,
                speaker=cue.speaker or speaker,
            )
        )
    if num_beyond:
        _warn(
            f"{where}: {num_beyond:,} of {plural(num_read, 'cue')} begin after the end "
            f"of the video at {duration:.1f} s and are left out; is it of another video?"
        )
    return _unrolled(sorted(kept, key=lambda one: (one.start, one.end)))


def _unrolled(texts: Iterable[TimedText]) -> list[TimedText]:
    """Take out lines that a text repeats of the one before it."""
    from dataclasses import replace

    kept: list[TimedText] = []
    shown: list[str] = []
    for one in texts:
        lines = one.text.split("\n")
        follows = bool(kept) and one.start <= kept[-1].end + _ROLL_SECONDS
        num_known = _overlap(shown, lines) if follows else 0
        shown = lines
        if num_known and kept[-1].end < one.end:
            kept[-1] = replace(kept[-1], end=one.end)
        if num_known < len(lines):
            kept.append(replace(one, text="\n".join(lines[num_known:])))
    return kept


def _overlap(before: list[str], lines: list[str]) -> int:
    """Count the first lines that are the last ones of what was shown before."""
    for count in range(min(len(before), len(lines)), 0, -1):
        if before[-count:] == lines[:count]:
            return count
    return 0


def _seconds(
    hours: str | None, minutes: str, seconds: str, fraction: str | None
) -> float:
    whole = 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds)
    return whole + float(f"0.{fraction or 0}")


def _warn(text: str) -> None:
    warnings.warn(text, UnreadWordsWarning, stacklevel=4)
