"""Files of subtitles and transcripts: found beside a video, or named."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from dynfocus.errors import UnreadWordsWarning
from dynfocus.text import plural, sentence
from dynfocus.video import VideoFile
from dynfocus.words.cues import (
    Cue,
    cues_of_ass,
    cues_of_lines,
    keep_cues,
    read_times,
)
from dynfocus.words.timed_text import Source, TimedText
from dynfocus.words.transcripts import cues_of_json, cues_of_moments, cues_of_xml

SUBTITLE_SUFFIXES = (".srt", ".vtt", ".ass", ".ssa", ".sbv", ".ttml", ".smi", ".sub")
"""Endings of subtitles that are read, the one preferred first."""
TRANSCRIPT_SUFFIXES = (".json3", ".srv3", ".srv1", ".json")
"""Endings of transcripts that are looked for beside a video."""

_LANGUAGE = re.compile(
    r"(?P<code>[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*)?"
    r"(?:\.?(?:forced|sdh|cc|auto|orig|default))*"
)
_MAX_BYTES = 64_000_000  # of a file that must be read as a whole
_LOOKED_AT_BYTES = 1_000_000
_LOOKED_AT_LINES = 400
_GUESSED_BYTES = 10_000
_LATIN_RATIO = 0.2  # of letters beyond ASCII in a Latin script, times of cues included
_MAX_LINE = 20_000
_FRAME_LINE = re.compile(r"\{\d+\}\{\d+\}.*|\[\d+\]\[\d+\].*")


def find_subtitles(video: VideoFile) -> list[Path]:
    """List the files of subtitles beside a video, one a language.

    They are called like the video, with the code of a language at most between its name
    and their ending: ``talk.srt``, ``talk.en.vtt``, ``talk.mp4.ass``.

    Args:
        video: The video; one at an address has none beside it.
    """
    if not isinstance(video, Path):
        return []
    ranks = {s: n for n, s in enumerate(SUBTITLE_SUFFIXES + TRANSCRIPT_SUFFIXES)}
    found: dict[str, tuple[int, Path]] = {}
    try:
        names = [*video.absolute().parent.iterdir()]
    except OSError:  # a folder whose files one may read and not list
        return []
    for path in sorted(names):
        rank = ranks.get(path.suffix.lower())
        language = _language_of(path, video)
        if rank is None or language is None or not path.is_file():
            continue
        if language not in found or rank < found[language][0]:
            found[language] = rank, video.parent / path.name
    return [path for _, path in found.values()]


def _language_of(path: Path, video: Path) -> str | None:
    """Give the language in a file's name; None if it is not called like the video."""
    for name in (video.name, video.stem):
        if path.stem == name:
            return ""
        if path.stem.startswith(f"{name}."):
            found = _LANGUAGE.fullmatch(path.stem[len(name) + 1 :])
            return None if found is None else (found["code"] or "")
    return None


def read_subtitles(
    path: str | Path,
    *,
    duration: float | None = None,
    late_seconds: float = 0.0,
    video: VideoFile | None = None,
) -> list[TimedText]:
    """Read a file of subtitles or a transcript, of whatever kind and encoding.

    Args:
        path: The file.
        duration: Length of its video in seconds; what begins later is left out, with a
            warning.
        late_seconds: How much later than the video's file its picture starts.
        video: The video, from whose name the language is told.

    Returns:
        Its texts by their start.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no subtitles.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file; check the path")
    if path.is_dir():
        raise ValueError(f"{path}: this is a folder; name a file of subtitles")
    try:
        found = _open(path)
        texts = keep_cues(
            found.cues,
            str(path),
            source=found.source,
            duration=duration,
            late_seconds=late_seconds,
            language=found.language or (video and _code(path, video)) or None,
        )
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path}: {sentence(error)}") from error
    if not texts and found.is_doubtful:
        raise ValueError(f"{path}: it holds no subtitles and no transcript")
    return texts


def _code(path: Path, video: VideoFile) -> str | None:
    return _language_of(path, video) if isinstance(video, Path) else None


class _Found(NamedTuple):
    """What a file was found to hold."""

    cues: Iterator[Cue]
    source: Source
    language: str | None = None
    is_doubtful: bool = False


def _open(path: Path) -> _Found:
    """Tell what a file holds from how it begins."""
    encoding = _encoding_of(path)
    head = [*islice(_lines(path, encoding), _LOOKED_AT_LINES)]
    start = next((line.strip() for line in head if line.strip()), "")
    if not start:
        raise ValueError("the file is empty")
    if _FRAME_LINE.fullmatch(start):
        return _Found(_cues_of_others(path, encoding), "subtitle")
    if start.startswith(("{", "[{")) or start == "[":
        cues, language = cues_of_json(_whole(path, encoding))
        return _Found(iter(cues), "transcript", language)
    if start.startswith("<"):
        cues = cues_of_xml(_whole(path, encoding))
        return _Found(iter(cues or _cues_of_others(path, encoding)), "subtitle")
    if any(read_times(line) for line in head) or start.startswith("WEBVTT"):
        return _Found(cues_of_lines(_lines(path, encoding)), "subtitle")
    if start.lower() == "[script info]" or any(x.startswith("Dialogue:") for x in head):
        return _Found(cues_of_ass(_lines(path, encoding)), "subtitle")
    return _Found(cues_of_moments(_lines(path, encoding)), "transcript", None, True)


def _cues_of_others(path: Path, encoding: str) -> Iterator[Cue]:
    """Read what pysubs2 knows beside: TTML, SAMI, MicroDVD and others."""
    try:
        import pysubs2
    except ImportError as error:
        raise ValueError(
            "subtitles of this kind need pysubs2; install it with: "
            "pip install 'dynfocus[text]'"
        ) from error
    try:
        events = pysubs2.SSAFile.from_string(_whole(path, encoding))
    except (pysubs2.exceptions.Pysubs2Error, SyntaxError) as error:
        raise ValueError(f"it is of no kind that is known ({error})") from error
    for one in events:
        yield Cue(max(one.start, 0) / 1000, one.end / 1000, one.plaintext)


def _whole(path: Path, encoding: str) -> str:
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(
            f"at {path.stat().st_size / 1e6:,.0f} MB it is longer than the "
            f"{_MAX_BYTES / 1e6:.0f} MB that are read of its kind; cut it, or convert it to srt"
        )
    return path.read_text(encoding, errors="replace")


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """Read lines, of endless ones the beginning."""
    with path.open(encoding=encoding, errors="replace") as file:
        while line := file.readline(_MAX_LINE):
            while not line.endswith("\n") and len(line) == _MAX_LINE:
                rest = file.readline(_MAX_LINE)
                if len(rest) < _MAX_LINE or rest.endswith("\n"):
                    break
            yield line.rstrip("\n")


def _encoding_of(path: Path) -> str:
    """Tell how a file is encoded; a guess is told, for it may be wrong."""
    with path.open("rb") as file:
        data = file.read(_LOOKED_AT_BYTES)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        io.TextIOWrapper(io.BytesIO(_cut(data)), "utf-8-sig").read()
    except UnicodeDecodeError:
        return _guessed_encoding(path, data)
    return "utf-8-sig"


def _cut(data: bytes) -> bytes:
    """Leave out a last line that may be cut within a character."""
    return data[: data.rfind(b"\n") + 1] if len(data) == _LOOKED_AT_BYTES else data


def _guessed_encoding(path: Path, data: bytes) -> str:
    """Guess an encoding that is not UTF-8, and say so."""
    num_wrong = data.decode("utf-8", "replace").count("\ufffd")
    num_high = sum(byte >= 0x80 for byte in data)
    if num_wrong * 10 < num_high:
        _warn(f"{path}: {plural(num_wrong, 'character')} of it are damaged")
        return "utf-8-sig"
    encoding = "cp1252"
    if num_high > len(data) * _LATIN_RATIO:  # another script than the Latin one
        try:
            from charset_normalizer import from_bytes
        except ImportError:
            pass
        else:
            best = from_bytes(_cut(data)[:_GUESSED_BYTES]).best()
            encoding = encoding if best is None else best.encoding
    _warn(
        f"{path}: it is not in UTF-8 and is read as {encoding}; save it as UTF-8 if its "
        "letters come out wrong"
    )
    return encoding


def _warn(text: str) -> None:
    warnings.warn(text, UnreadWordsWarning, stacklevel=5)
