"""Samples of training data: neighbours' forms become LLaVA's, and each is checked.

LLaVA's form is `{"video": ..., "conversations": [{"from": "human", "value": ...}, ...]}`.
Neighbours write `role` and `content` in place of `from` and `value`, contents in parts, a
turn of the system, and several media a sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dynfocus.text import check_name, check_text
from dynfocus.world.conversations import PLACEHOLDER as _PLACEHOLDER
from dynfocus.world.conversations import parse_address

Sample = dict[str, Any]
PLACEHOLDER = _PLACEHOLDER
"""Marks the place of a video or an image in a human turn."""
MARKS = (PLACEHOLDER, "<video>")
"""What may mark it."""
Medium = tuple[str, str]
"""``video`` or ``image``, and the name of a file, or an address."""

_MEDIA = ("video", "image")
_TURNS = ("conversations", "messages")
_TEXTS = {"from": "value", "role": "content"}
_ROLES = {"user": "human", "assistant": "gpt"}
_ADDRESSES = ("http://", "https://", "data:")


def check_sample(sample: Any, root: Path) -> Sample:
    """Refuse a malformed sample, write it in LLaVA's form and make its paths absolute.

    Args:
        sample: What a file holds; an error is raised.
        root: Folder of the media.

    Returns:
        The sample. Its ``video`` or ``image`` is a name, or a list of several names; its
        ``system`` is what the system said, if it said anything.

    Raises:
        FileNotFoundError: If a video or an image is not there.
        ValueError: If something else is wrong with it.
    """
    if isinstance(sample, ValueError):
        raise sample
    known = sample if isinstance(sample, dict) else {}
    turns = next((t for n in _TURNS if (t := known.get(n)) is not None), None)
    if not isinstance(turns, list):
        raise ValueError("'conversations' must be a list of turns")
    read = [_read_turn(turn, number) for number, turn in enumerate(turns, 1)]
    system = [known["system"]] if known.get("system") else []
    while read and read[0][0] == "system":
        system.append(read.pop(0)[1])
    roles = [role for role, *_ in read]
    if not read or len(read) % 2 or roles != ["human", "gpt"] * (len(read) // 2):
        raise ValueError(f"turns must alternate human, gpt, human, gpt, got {roles}")
    kind, names = _media_of_turns(
        known, [medium for *_, found in read for medium in found]
    )
    kept = {k: v for k, v in known.items() if k not in _OWN}
    kept["conversations"] = [{"from": role, "value": text} for role, text, _ in read]
    if system:
        kept["system"] = "\n".join(check_text(text, "'system'") for text in system)
    if names:
        _check_marks(kept, kind, len(names))
        paths = [_locate(check_name(name, repr(kind)), root) for name in names]
        kept[kind] = paths[0] if len(paths) == 1 else paths
    return kept


_OWN = (*_TURNS, *_MEDIA, *(f"{kind}s" for kind in _MEDIA), "system")


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
    if value.startswith(_ADDRESSES):
        raise ValueError(f"{value[:40]!r} is no file; fetch it and name the file")
    return value.removeprefix("file://")


def _check_marks(sample: Sample, kind: str, num_media: int) -> None:
    """Refuse several media that cannot be told apart by their marks."""
    asked = [turn["value"] for turn in sample["conversations"][::2]]
    num_marks = sum(text.count(mark) for text in asked for mark in MARKS)
    if num_media > 1 and num_marks not in (0, num_media):
        raise ValueError(
            f"marks {num_marks} places for its {num_media} {kind}s; mark one for each, "
            "or none"
        )


def _locate(name: str, root: Path) -> str:
    """Return where a medium is: an address stays, a file's path becomes absolute."""
    if is_drawn(name):
        return name
    path = root / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; set 'root' to the folder of the media"
        )
    return str(path)


def media_of(sample: Mapping[str, Any]) -> list[Medium]:
    """List the media of a sample, each with its kind; none for text alone."""
    for kind in _MEDIA:
        names = sample.get(kind)
        if names is not None:
            return [
                (kind, str(n)) for n in (names if isinstance(names, list) else [names])
            ]
    return []


def name_media(sample: Mapping[str, Any]) -> str:
    """Name the media of a sample in one line."""
    return ", ".join(name for _, name in media_of(sample))


def is_drawn(medium: str) -> bool:
    """Tell the address of something that is drawn from the name of a file."""
    return parse_address(medium) is not None


def drawn_seconds(medium: str) -> float | None:
    """Return how long a video is whose address says so; None for a file."""
    address = parse_address(medium)
    return None if address is None else address.seconds
