"""One video in the index: a safetensors file that says what it is, checked on opening."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dynfocus.atomic import atomic_file
from dynfocus.errors import UnusableEntryError
from dynfocus.index.layout import IndexLayout

FORMAT = "dynfocus-video-index"
VERSION = "2"
"""Raised whenever the same file, model and sampling would give another entry."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which frames of a video were encoded."""

    fps: float
    """Frames a second."""
    max_frames: int | None = None
    """At most so many frames, taken evenly over the video."""
    max_encoded_frames: int | None = None
    """Of these at most so many, those that look unlike each other."""
    start: float | None = None
    """Where an excerpt begins, in seconds."""
    end: float | None = None
    """Where an excerpt ends, in seconds."""
    stream: int | None = None
    """Number of the stream, where it is not the one that a player shows."""


@dataclass(frozen=True, kw_only=True)
class EntryKey:
    """What makes two entries one."""

    content: str
    """Digest of the video file, or what else names a medium and never changes."""
    model: str
    """Fingerprint of all of a model that decides what is kept."""
    sampling: Sampling
    layout: str
    """Name of the layout."""

    def to_json(self) -> str:
        """Write the key down, always in the same way."""
        key = asdict(self)
        if self.sampling.max_encoded_frames is None:  # as entries had it before
            del key["sampling"]["max_encoded_frames"]
        return json.dumps(key, sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class EntryFacts:
    """What is known about an indexed video besides what is kept of it."""

    num_frames: int
    source: str
    """The file as it was called when it was encoded."""
    duration: float
    """Seconds."""
    picture_size: tuple[int, int] | None = None
    """Height and width of the small pictures, if there are any."""
    model_name: str
    """What the model was loaded as."""
    damage: str | None = None
    """What of the file could not be decoded."""
    is_world: bool | None = None
    """Whether its frames are FocusWorld's, where nano encoded them."""


def write_entry(
    path: Path, key: EntryKey, facts: EntryFacts, tensors: Mapping[str, Tensor]
) -> None:
    """Write an entry, whole or not at all.

    Args:
        path: Its file.
        key: Its key.
        facts: What is known about the video.
        tensors: Those that the layout lists, on any device.
    """
    whole = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in tensors.items()
    }
    header = {
        "format": FORMAT,
        "version": VERSION,
        "key": key.to_json(),
        "facts": json.dumps(asdict(facts)),
        "checksums": json.dumps({n: _checksum(t) for n, t in whole.items()}),
    }
    with atomic_file(path) as part:
        save_file(whole, part, metadata=header)


def read_entry(
    path: Path, key: EntryKey, layout: IndexLayout
) -> tuple[EntryFacts, dict[str, Tensor]]:
    """Open an entry, memory-mapped, and check all of it.

    Args:
        path: Its file.
        key: The key it must have.
        layout: The layout its tensors must have.

    Returns:
        What is known about the video, and the tensors.

    Raises:
        FileNotFoundError: There is no such file.
        UnusableEntryError: The file is damaged, not whole, or not this entry.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            found_key, facts = read_header(header)
            if found_key != json.loads(key.to_json()):
                raise UnusableEntryError("it belongs to another video or model")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 safe_open is no dict
    except SafetensorError as error:
        raise UnusableEntryError(
            f"it is damaged, cut short or of another kind ({error})"
        ) from error
    specs = layout.tensors(facts.num_frames)
    found = {name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()}
    for name in sorted(specs.keys() | found.keys()):
        if found.get(name) != specs.get(name):
            raise UnusableEntryError(
                f"its tensor {name} is {found.get(name)}, expected {specs.get(name)}"
            )
    sums = json.loads(header["checksums"])
    for name, tensor in tensors.items():
        if sums.get(name) != _checksum(tensor):
            raise UnusableEntryError(f"the bytes of its tensor {name} have changed")
    return facts, tensors


def read_header(header: Mapping[str, str]) -> tuple[dict[str, Any], EntryFacts]:
    """Read the header of an entry: the parts of its key, and its facts.

    Raises:
        UnusableEntryError: It is not one.
    """
    if header.get("format") != FORMAT:
        raise UnusableEntryError(
            f"its header names format {header.get('format')!r}, expected {FORMAT!r}"
        )
    if header.get("version") != VERSION:
        raise UnusableEntryError(
            f"it is of version {header.get('version')!r} of the index, and this program "
            f"reads {VERSION!r}; 'dynfocus index --clean' removes it"
        )
    try:
        key, facts = json.loads(header["key"]), json.loads(header["facts"])
        json.loads(header["checksums"])
        size = facts.pop("picture_size")
        known = EntryFacts(**facts, picture_size=size and tuple(size))
        is_sound = bool(key["layout"]) and known.num_frames >= 1
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnusableEntryError(f"its header is not whole ({error!r})") from error
    if not is_sound:
        raise UnusableEntryError("its header names no layout or no frames")
    return key, known


def _checksum(tensor: Tensor) -> int:
    """Sum the bytes of a tensor on the CPU up, whatever its precision."""
    flat = tensor.detach().contiguous().reshape(-1)
    return zlib.crc32(flat.view(torch.uint8).numpy().data)
