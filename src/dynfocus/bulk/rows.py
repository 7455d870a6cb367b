"""Rows of a run in bulk: what is asked about which video, read and checked beforehand."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from dynfocus.models.options import AskOptions
from dynfocus.text import check_text, to_json
from dynfocus.turns import MARKS, MEDIA_FIELDS, TURN_FIELDS, read_turns
from dynfocus.video import show_address

_MAX_TOLD = 5
_MARK = re.compile("|".join(MARKS))
_OWN_FIELDS = ("video", "question", "id", "answer", "evidence", "facts", "subtitles")
# What leaves an id as it was where it is empty: fields that came after ids did.
_UNTOLD_EMPTY = ("also", "max_encoded_frames", "problem", "subtitles")
_CONVERSATION = (*TURN_FIELDS, *MEDIA_FIELDS, "system")
_OPTIONS = tuple(option.name for option in fields(AskOptions))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One question about one video."""

    video: str
    """A file, or what the run's ``open_video`` takes."""
    also: tuple[str, ...] = ()
    """Other videos that the question is about, too."""
    question: str | None = None
    """What to ask; without, the video is only indexed."""
    id: str = ""
    """Its name in the records; rows of one run have different ones."""
    options: AskOptions = field(default_factory=AskOptions)
    """How the video is read and the question answered."""
    answer: str | None = None
    """The true answer, where it is known."""
    evidence: tuple[tuple[float, float], ...] = ()
    """Times that show it, half-open, in seconds."""
    subtitles: tuple[str, ...] = ()
    """Files of subtitles or transcripts, in place of those beside and inside the video."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else its record repeats, such as the kind of question."""
    problem: str = ""
    """Why it cannot be asked; its record says so."""

    @property
    def videos(self) -> tuple[str, ...]:
        """All videos that the question is about."""
        return (self.video, *self.also)

    @property
    def shown_video(self) -> str | list[str]:
        """Its video, or all of several, as records show them."""
        shown = [show_address(video) for video in self.videos]
        return shown if self.also else shown[0]


@dataclass(frozen=True)
class VideoJob:
    """All rows about one video, or about the same several, which one worker takes."""

    video: str
    rows: tuple[Row, ...]
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return ", ".join(show_address(video) for video in (self.video, *self.also))


def read_rows(text: str, defaults: AskOptions | None = None) -> list[Row]:
    """Read rows from JSON lines and check all of them.

    A wrong video or question is a problem of its row; other fields, or values, that
    there are not are mistakes of the file.

    Args:
        text: One JSON object a line with ``video``, a name or a list of names that the
            question is about together, and possibly ``question``, ``id``, ``answer``, ``evidence``, ``subtitles``,
            ``facts`` and options of `AskOptions`; null stands
            for what is not given, and empty lines are skipped. In place of ``question``
            and ``answer``, ``messages`` or ``conversations`` may hold them as turns.
        defaults: The options of rows that do not say otherwise.

    Returns:
        The rows, each with an id of its own.

    Raises:
        ValueError: Some lines are wrong; the first few are named.
    """
    rows: list[Row] = []
    numbers: dict[str, int] = {}
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = _with_id(_read_row(line, defaults or AskOptions()), numbers)
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


def group_by_video(rows: Sequence[Row]) -> list[VideoJob]:
    """Put the rows of each video together, videos in the order of their first row."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.videos, []).append(row)
    return [
        VideoJob(video, tuple(found), also)
        for (video, *others), found in groups.items()
        for also in [tuple(others)]
    ]


def _read_row(line: str, defaults: AskOptions) -> Row:
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"this is not JSON ({error.msg})") from error
    given = _check_fields(found)
    options = {name: given.pop(name) for name in _OPTIONS if name in given}
    row = Row(
        **{name: given[name] for name in ("id", "answer", "facts") if name in given},
        video=_if_text(given.get("video")),
        question=_if_text(given["question"]) if "question" in given else None,
        evidence=_intervals(given.get("evidence", [])),
        subtitles=_names_of(given.get("subtitles", [])),
        options=replace(defaults, **options),
    )
    try:
        if any(name in given for name in TURN_FIELDS):
            (video, *also), question, answer = _read_question(given)
            found = {"question": question, "answer": answer}
            return replace(row, video=video, also=tuple(also), **found)
        video, *also = _check_videos(given.get("video"))
        if also and row.subtitles:
            raise ValueError("subtitles go with one video; leave the others out")
        if "question" in given:
            _check_filled(given["question"], "question")
    except ValueError as error:
        return replace(row, problem=str(error))
    return replace(row, video=video, also=tuple(also))


def _check_fields(found: Any) -> dict[str, Any]:
    """Give what a row says, and refuse fields that no row has."""
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, got {type(found).__name__}")
    given = {name: value for name, value in found.items() if value is not None}
    has_turns = any(name in given for name in TURN_FIELDS)
    known = (*_OWN_FIELDS, *_OPTIONS, *(_CONVERSATION if has_turns else ()))
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(
            f"there is no field {unknown[0]!r}; a row has {', '.join(known)}"
        )
    if "video" not in found and not has_turns:
        raise ValueError("the field 'video' is missing")
    if isinstance(given.get("id"), int) and not isinstance(given["id"], bool):
        given["id"] = str(given["id"])
    for name in given.keys() & {"id", "answer"}:
        _check_filled(given[name], name)
    return given


def _names_of(named: Any) -> tuple[str, ...]:
    """Take the name of a file of subtitles, or of several."""
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise ValueError(f"subtitles must be a name or a list of names, got {named!r}")
    return tuple(names)


def _if_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _check_videos(named: Any) -> list[str]:
    """Refuse what names neither a video nor several."""
    names = named if isinstance(named, list) and named else [named]
    for name in names:
        _check_filled(name, "video")
    return names


def _read_question(record: Mapping[str, Any]) -> tuple[list[str], str, str | None]:
    """Read the videos, the question and its answer from a conversation."""
    read = read_turns(record)
    roles = [role for role, _ in read.turns]
    if (
        "question" in record
        or read.system
        or roles not in (["human"], ["human", "gpt"])
    ):
        raise ValueError(
            "a row asks one question, with or without its answer, got turns of "
            f"{['system'] * bool(read.system) + roles}"
        )
    if read.kind != "video":
        raise ValueError(f"a row asks about videos, got {read.kind or 'text'} alone")
    question, *answer = (_MARK.sub("", text).strip() for _, text in read.turns)
    videos = _check_videos([*read.names])
    _check_filled(question, "question")
    return videos, question, answer[0] if answer else record.get("answer")


def _check_filled(text: object, name: str) -> None:
    """Refuse what is no text; half a character in it fails its row later."""
    if not isinstance(text, str) or not text.strip():
        check_text(text, name)


def _intervals(evidence: Any) -> tuple[tuple[float, float], ...]:
    try:
        return tuple((float(begin), float(end)) for begin, end in evidence)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"evidence must be a list of [begin, end] in seconds, got {evidence!r}"
        ) from error


def _told(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in fields.items() if v or k not in _UNTOLD_EMPTY}


def _with_id(row: Row, numbers: Mapping[str, int]) -> Row:
    """Give a row without an id one that the same row has in every run."""
    if row.id:
        if row.id in numbers:
            raise ValueError(
                f"the id {row.id!r} is that of line {numbers[row.id]}, too"
            )
        return row
    known = _told(asdict(row) | {"options": _told(asdict(row.options))})
    content = to_json(known, sort_keys=True)
    name = hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
    copies = 1
    unique = name
    while unique in numbers:
        copies += 1
        unique = f"{name}-{copies}"
    return replace(row, id=unique)
