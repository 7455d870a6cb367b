"""Conversations as neighbours write them, in JSON: turns, what they say and show.

LLaVA writes `{"video": ..., "conversations": [{"from": "human", "value": ...}, ...]}`;
others write `role` and `content` in place of `from` and `value`, contents in parts, a turn
of the system, and several media.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynfocus.text import check_text

TURN_FIELDS = ("conversations", "messages")
"""Fields of a record that may hold its turns."""
MEDIA_FIELDS = ("video", "image", "videos", "images")
"""Fields of a record that may hold its media."""
MARKS = ("<image>", "<video>")
"""What may mark the place of a medium in a question."""

_MEDIA = MEDIA_FIELDS[:2]
_TEXTS = {"from": "value", "role": "content"}
_ROLES = {"user": "human", "assistant": "gpt"}


@dataclass(frozen=True, kw_only=True)
class Turns:
    """What a record says and shows."""

    turns: tuple[tuple[Any, str], ...]
    """Role and text of each turn; ``human`` and ``gpt`` take turns in a good one. A mark
    such as ``<video>`` stands where a part showed something."""
    system: str
    """What the system said before them, or nothing."""
    kind: str
    """``"video"`` or ``"image"``; nothing for text alone."""
    names: tuple[Any, ...]
    """What names the media; not checked."""


def read_turns(record: Any) -> Turns:
    """Read the turns of a record and the media in and beside them.

    Args:
        record: What a file holds.

    Raises:
        ValueError: There are no turns, one of them cannot be read, or several media
            cannot be told apart by their marks.
    """
    known = record if isinstance(record, dict) else {}
    listed = next((t for n in TURN_FIELDS if (t := known.get(n)) is not None), None)
    if not isinstance(listed, list):
        raise ValueError("'conversations' must be a list of turns")
    read = [_read_turn(turn, number) for number, turn in enumerate(listed, 1)]
    system = [known["system"]] if known.get("system") else []
    while read and read[0][0] == "system":
        system.append(read.pop(0)[1])
    shown = [medium for *_, found in read for medium in found]
    kind, names = _media_of_turns(known, shown)
    asked = "\n".join(text for role, text, _ in read if role == "human")
    num_marks = sum(asked.count(mark) for mark in MARKS)
    if len(names) > 1 and num_marks not in (0, len(names)):
        raise ValueError(
            f"marks {num_marks} places for its {len(names)} {kind}s; mark one for each, "
            "or none"
        )
    return Turns(
        turns=tuple((role, text) for role, text, _ in read),
        system="\n".join(check_text(text, "'system'") for text in system),
        kind=kind,
        names=tuple(names),
    )


def _read_turn(turn: Any, number: int) -> tuple[Any, str, list[tuple[str, Any]]]:
    """Give the role, the text and the media of a turn."""
    if not isinstance(turn, dict):
        return None, "", []
    key = next((key for key in _TEXTS if turn.get(key) is not None), "from")
    role, content = turn.get(key), turn.get(_TEXTS[key])
    role = _ROLES.get(role, role) if isinstance(role, str) else None
    what = f"'{_TEXTS[key]}' of turn {number}"
    if not isinstance(content, list):
        return role, check_text(content, what), []
    words, media = [], []
    for part in content:
        kind, found = _read_part(part, what)
        words.append(found if kind == "text" else f"<{kind}>")
        media += [] if kind == "text" else [(kind, found)]
    if media and role != "human":
        raise ValueError(f"{what} shows a medium; only questions can show one")
    return role, check_text("\n".join(words), what), media


def _read_part(part: Any, what: str) -> tuple[str, Any]:
    """Give the kind of a part of a content, and its text or the name of its medium."""
    known = part if isinstance(part, dict) else {"type": "text", "text": part}
    kind = str(known.get("type"))
    if kind == "text":
        return kind, check_text(known.get("text"), f"a text in {what}")
    if kind.removesuffix("_url") not in _MEDIA:
        raise ValueError(
            f"{what} has a part of type {kind!r}; known are text, image, video"
        )
    value = next((v for k in (kind, "path", "url") if (v := known.get(k))), None)
    if isinstance(value, list):
        raise ValueError(
            f"{what} names the frames of a video, whose times are not known; name a file"
        )
    return kind.removesuffix("_url"), value


def _media_of_turns(
    sample: Mapping[str, Any], shown: Sequence[tuple[str, Any]]
) -> tuple[str, list[Any]]:
    """Give the kind and the names of all media: those in turns, or those beside them."""
    beside = {kind: _listed(sample, kind) for kind in _MEDIA}
    kinds = [kind for kind in _MEDIA if beside[kind] or kind in dict(shown)]
    if len(kinds) > 1:
        raise ValueError("has both a video and an image; give one")
    kind = kinds[0] if kinds else ""
    names = beside.get(kind, [])
    inside = [_plain_name(name) for _, name in shown if name is not None]
    if kind and not (names or inside):
        raise ValueError(f"shows a {kind} and names none")
    if inside and names and inside != names:
        raise ValueError(
            f"names a {kind} in its turns and others beside them; give one"
        )
    return kind, names or inside


def _listed(sample: Mapping[str, Any], kind: str) -> list[Any]:
    """List the media of a kind that stand beside the turns."""
    named = (sample.get(name) for name in (kind, f"{kind}s"))
    value: Any = next((value for value in named if value is not None), [])
    return [_plain_name(one) for one in (value if isinstance(value, list) else [value])]


def _plain_name(value: Any) -> Any:
    """Take the name of a file out of what may surround it."""
    if isinstance(value, dict):
        value = value.get("path") or value.get("url")
    if not isinstance(value, str):
        return value
    if value.startswith("data:"):
        raise ValueError(f"{value[:40]!r} is no file; fetch it and name the file")
    return value.removeprefix("file://")
