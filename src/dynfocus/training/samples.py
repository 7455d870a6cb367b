"""Samples of training data, brought into LLaVA's form and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynfocus.text import check_name
from dynfocus.training.fragments import parse_fragment
from dynfocus.training.time_tokens import read_time_tokens
from dynfocus.turns import MEDIA_FIELDS, TURN_FIELDS, read_turns
from dynfocus.video import is_web_address
from dynfocus.world.conversations import PLACEHOLDER as _PLACEHOLDER
from dynfocus.world.conversations import parse_address

Sample = dict[str, Any]
PLACEHOLDER = _PLACEHOLDER
"""Marks the place of a video or an image in a human turn."""
Medium = tuple[str, str]
"""``video`` or ``image``, and the name of a file, or an address."""

_MEDIA = MEDIA_FIELDS[:2]
_OWN = (*TURN_FIELDS, *MEDIA_FIELDS, "system")


def check_sample(sample: Any, root: Path) -> Sample:
    """Refuse a malformed sample, write it in LLaVA's form and make its paths absolute.

    Args:
        sample: What a file holds; an error is raised.
        root: Folder of the media.

    Returns:
        The sample. Its ``video`` or ``image`` is a name, or a list of several names; its
        ``system`` is what the system said, if it said anything; its time tokens are
        digits, as `read_time_tokens` writes them.

    Raises:
        FileNotFoundError: If a video or an image is not there.
        ValueError: If something else is wrong with it.
    """
    if isinstance(sample, ValueError):
        raise sample
    read = read_turns(sample)
    roles = [role for role, _ in read.turns]
    if not roles or len(roles) % 2 or roles != ["human", "gpt"] * (len(roles) // 2):
        raise ValueError(f"turns must alternate human, gpt, human, gpt, got {roles}")
    kept = {k: v for k, v in sample.items() if k not in _OWN}
    kept["conversations"] = [{"from": role, "value": text} for role, text in read.turns]
    if read.system:
        kept["system"] = read.system
    kept = read_time_tokens(kept)
    if read.names:
        named = [check_name(name, repr(read.kind)) for name in read.names]
        paths = [_locate(name, root) for name in named]
        kept[read.kind] = paths[0] if len(paths) == 1 else paths
    return kept


def _locate(name: str, root: Path) -> str:
    """Return where a medium is: an address stays, a file's path becomes absolute."""
    if is_drawn(name) or is_web_address(name):
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
    """Tell the address of what is drawn, or cut from another, from the name of a file."""
    return parse_address(medium) is not None or parse_fragment(medium) is not None


def file_behind(medium: str) -> str | None:
    """Give the file that decides what a medium shows; None for what is drawn."""
    fragment = parse_fragment(medium)
    source = medium if fragment is None else fragment.source
    return None if parse_address(source) is not None else source


def drawn_seconds(medium: str) -> float | None:
    """Return how long a video is whose address says so; None for a file."""
    address = parse_address(medium)
    return None if address is None else address.seconds
