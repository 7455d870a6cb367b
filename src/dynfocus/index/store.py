"""A folder of indexed videos: found by content, bounded, safe to share by processes."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from dynfocus.atomic import PART_SUFFIX
from dynfocus.cache import FOLDER_VARIABLE, default_folder
from dynfocus.errors import UnusableEntryError, UnusableEntryWarning
from dynfocus.index.entries import (
    EntryFacts,
    EntryKey,
    Sampling,
    read_entry,
    read_header,
    write_entry,
)
from dynfocus.index.layout import IndexLayout
from dynfocus.text import is_full_disk, sentence
from dynfocus.video import VideoDigests, VideoName
from dynfocus.words import WordStore

SIZE_VARIABLE = "DYNFOCUS_INDEX_GB"
MAX_BYTES = 20_000_000_000
UNBOUNDED = sys.maxsize
"""As ``max_bytes`` of a store that never removes an entry."""

_SUFFIX = ".safetensors"
_ENTRIES = "entries"
_LEFT_OVER_SECONDS = 24 * 3600.0
_DIGEST_BYTES = 16
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StoredEntry:
    """One file of a store, as a list shows it."""

    path: Path
    num_bytes: int
    used_seconds: float
    """When it was used last, in seconds since 1970."""
    facts: EntryFacts | None
    """None where the file is no entry."""
    storage: str | None
    sampling: Sampling | None
    """Which frames of the video it holds."""
    problem: str | None = None
    """Why the file is no entry."""


class IndexStore:
    """Keep the question-independent half of videos in a folder.

    Entries are found by the content of a video, so renamed and copied files are known,
    and by the fingerprint of the model, the sampling and the layout, so nothing is
    ever stale. What is not whole or not ours is not used, with a warning.

    Args:
        folder: The folder; by default that of `default_folder`, asked at each use.
        max_bytes: Beyond that, entries used least recently are removed; by default
            that of `default_max_bytes`, asked at each use.
    """

    def __init__(
        self, folder: str | Path | None = None, *, max_bytes: int | None = None
    ) -> None:
        if max_bytes is not None and max_bytes < 1:
            raise ValueError(
                f"max_bytes must be at least 1, got {max_bytes}; without an index, "
                "give index_folder=False"
            )
        self._folder = None if folder is None else Path(folder)
        self._max_bytes = max_bytes
        self._digests: dict[Path, VideoDigests] = {}
        self._has_complained = False

    @property
    def folder(self) -> Path:
        """The folder; it need not be there."""
        return default_folder() if self._folder is None else self._folder

    @property
    def max_bytes(self) -> int:
        """Bytes of all entries together."""
        return default_max_bytes() if self._max_bytes is None else self._max_bytes

    def digest(self, video: VideoName) -> str:
        """Tell what a file goes by: its content, or the version that a server names.

        A file on a disk is read if it is new.

        Raises:
            ValueError: Nothing tells one version of a remote file from the next.
        """
        return self._digests.setdefault(self.folder, VideoDigests(self.folder)).of(
            video
        )

    def path(self, key: EntryKey) -> Path:
        """Return the file of an entry, whether or not it is there."""
        name = hashlib.blake2b(
            key.to_json().encode(), digest_size=_DIGEST_BYTES
        ).hexdigest()
        return self.folder / _ENTRIES / name[:2] / f"{name}{_SUFFIX}"

    def open(
        self, key: EntryKey, layout: IndexLayout
    ) -> tuple[EntryFacts, dict[str, Tensor]] | None:
        """Open an entry, memory-mapped; None where there is none that can be used.

        Args:
            key: Its key.
            layout: The layout of the model.
        """
        path = self.path(key)
        try:
            found = read_entry(path, key, layout)
        except FileNotFoundError:
            return None
        except (UnusableEntryError, OSError) as error:
            warnings.warn(
                f"{path} is not used: {error}; the video is read again",
                UnusableEntryWarning,
                stacklevel=2,
            )
            return None
        try:
            os.utime(path)
        except OSError as error:  # another user's folder: it is used all the same
            _logger.info("the use of %s is not noted: %s", path, error)
        return found

    def facts(self, key: EntryKey) -> EntryFacts | None:
        """Tell what is known about a video; None where there is no such entry."""
        entry = _describe(0.0, 0, self.path(key))
        return entry.facts

    def write(
        self, key: EntryKey, facts: EntryFacts, tensors: Mapping[str, Tensor]
    ) -> Path | None:
        """Write an entry, and make room for it.

        Args:
            key: Its key.
            facts: What is known about the video.
            tensors: Those that the layout lists.

        Returns:
            Its file, or None, after a warning, where it cannot be written.
        """
        path = self.path(key)
        size = sum(tensor.nbytes for tensor in tensors.values())
        if size > self.max_bytes:
            self._complain(f"it takes {size:,} of at most {self.max_bytes:,} bytes")
            return None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_entry(path, key, facts, tensors)
        except (OSError, SafetensorError) as error:
            is_full = is_full_disk(error)
            self._complain("there is no space for it" if is_full else sentence(error))
            return None
        if self.max_bytes < UNBOUNDED:
            self.make_room(keep=path)
        return path

    def make_room(self, keep: Path | None = None) -> list[Path]:
        """Remove the entries used least recently until the rest fits.

        Args:
            keep: An entry that stays.

        Returns:
            What was removed.
        """
        files = sorted(self._files())  # the one used longest ago first
        total = sum(size for _, size, _ in files)
        removed = []
        for _, size, path in files:
            if total <= self.max_bytes:
                break
            if path != keep:
                path.unlink(missing_ok=True)
                _logger.info("removed %s to keep %d bytes", path, self.max_bytes)
                removed.append(path)
                total -= size
        return removed

    def entries(self) -> list[StoredEntry]:
        """List what is in the folder, the file used last first."""
        return [_describe(*found) for found in sorted(self._files(), reverse=True)]

    def clean(self, *, everything: bool = False) -> list[Path]:
        """Remove what is of no use: files that are no entries, and what is left over.

        Args:
            everything: Remove all entries too, and what was read in videos.

        Returns:
            What was removed.
        """
        removed = []
        for entry in self.entries():
            if everything or entry.problem is not None:
                entry.path.unlink(missing_ok=True)
                removed.append(entry.path)
        old = time.time() - _LEFT_OVER_SECONDS
        for part in self.folder.rglob(f".*{PART_SUFFIX}"):
            if everything or part.stat().st_mtime < old:
                part.unlink(missing_ok=True)
                removed.append(part)
        if everything:
            for reading in WordStore(self.folder).files():
                reading.unlink(missing_ok=True)
                removed.append(reading)
        VideoDigests(self.folder).forget_missing()
        return removed

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Yield the last use, the size and the path of every entry."""
        for path in (self.folder / _ENTRIES).glob(f"*/[!.]*{_SUFFIX}"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process made room
                continue
            yield status.st_mtime, status.st_size, path

    def _complain(self, reason: str) -> None:
        """Warn once that entries are not kept."""
        if self._has_complained:
            return
        self._has_complained = True
        warnings.warn(
            f"the index in {self.folder} cannot keep this video ({reason}), so it is "
            f"read again next time; set {FOLDER_VARIABLE} to another folder",
            UnusableEntryWarning,
            stacklevel=3,
        )


def default_max_bytes() -> int:
    """Tell how large an index may become: ``$DYNFOCUS_INDEX_GB`` or 20 gigabytes."""
    own = os.environ.get(SIZE_VARIABLE)
    if not own:
        return MAX_BYTES
    try:
        gigabytes = float(own)
    except ValueError:
        gigabytes = 0.0
    if not 0 < gigabytes < math.inf:
        raise ValueError(
            f"{SIZE_VARIABLE} must be a number of gigabytes above 0, got {own!r}; "
            "without an index, use --no-index"
        )
    return round(gigabytes * 1e9)


def _describe(used_seconds: float, num_bytes: int, path: Path) -> StoredEntry:
    facts, storage, sampling, problem = None, None, None, None
    try:
        with safe_open(path, framework="pt") as file:
            key, facts = read_header(file.metadata() or {})
        storage = str(key["layout"]).partition("-")[0]
        sampling = Sampling(**key["sampling"])
    except (SafetensorError, UnusableEntryError, OSError, TypeError) as error:
        problem = str(error)
    return StoredEntry(
        path=path,
        num_bytes=num_bytes,
        used_seconds=used_seconds,
        facts=facts,
        storage=storage,
        sampling=sampling,
        problem=problem,
    )
