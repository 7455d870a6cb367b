"""The videos that a server knows, on disk: whole or not there, whatever ends the server.

A video is a folder: ``video.json`` says what is known of it and is written last, so a
folder without one is half written. ``content`` holds its bytes; ``questions.jsonl`` what
was asked about it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, Literal

from dynfocus.atomic import PART_SUFFIX, naming_a_full_disk, write_atomically
from dynfocus.serving.locks import SharedLock
from dynfocus.text import to_json
from dynfocus.validation import checked, from_mapping
from dynfocus.video import show_address

State = Literal["new", "ready", "failed"]

_CONTENT = "content"
_FACTS = "video.json"
_QUESTIONS = "questions.jsonl"
_NAME_CHARACTERS = 200
_MOST_QUESTIONS = 200
_ID_DIGITS = 24


@checked
class LibraryVideo:
    """One video of the library."""

    id: str
    """What requests call it; of uploads it depends on the content alone."""
    name: str
    """What people call it."""
    created: float
    """When it was added, in seconds since 1970."""
    purpose: str = "user_data"
    """What a client said that it is for."""
    num_bytes: int | None = None
    """Its length; None where it was not fetched yet."""
    address: str | None = None
    """Where it is fetched from, with all secrets."""
    version: str | None = None
    """Which version of what is there was fetched."""
    path: str | None = None
    """The file, where it is not kept in the library but read where it lies."""
    is_kept: bool = True
    """Whether it stays until it is deleted; else it goes when room is needed."""
    state: State = "new"
    """Whether it was read yet."""
    problem: str | None = None
    """Why it could not be read."""
    facts: dict[str, Any] | None = None
    """What reading told: ``duration``, ``width``, ``height``, ``fps`` and so on."""

    @property
    def shown_address(self) -> str | None:
        """Where it comes from, without secrets."""
        return None if self.address is None else show_address(self.address)


class Library:
    """Keep videos in a folder; safe to share by threads and processes.

    Args:
        folder: The folder; it need not be there.
        passing_bytes: How much of videos that came with a question is kept.
    """

    def __init__(self, folder: Path, *, passing_bytes: int) -> None:
        self.folder = folder.absolute()
        self._videos = self.folder / "videos"
        self._incoming = self.folder / "incoming"
        self._passing_bytes = passing_bytes
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, LibraryVideo]] = {}
        self._users = SharedLock(self.folder / "lock")

    def open(self) -> list[LibraryVideo]:
        """Make the folder, take away what is half written, and list what is to be read.

        Nothing is half written where another server has the library open; what is to be
        read may be read by that, or was by one that is gone.

        Raises:
            OSError: The folder cannot be made or read.
        """
        self._videos.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(exist_ok=True)
        if self._users.enter():
            for part in self._incoming.iterdir():
                _remove(part)
            for folder in self._videos.iterdir():
                if not (folder / _FACTS).exists():
                    _remove(folder)
            self._users.share()
        return [one for one in self.videos() if one.is_kept and one.state == "new"]

    def close(self) -> None:
        """Let another server be the first to open the library."""
        self._users.leave()

    def videos(self) -> list[LibraryVideo]:
        """List the videos, the one added last first."""
        folders = self._videos.iterdir() if self._videos.is_dir() else ()
        found = [video for one in folders if (video := self.find(one.name)) is not None]
        return sorted(found, key=lambda video: (-video.created, video.id))

    def find(self, video_id: str) -> LibraryVideo | None:
        """Give a video; None where there is none of this id."""
        if not _is_id(video_id):
            return None
        path = self._videos / video_id / _FACTS
        try:
            changed = path.stat().st_mtime_ns
            known = self._known.get(video_id)
            if known is not None and known[0] == changed:
                return known[1]
            found = from_mapping(LibraryVideo, json.loads(path.read_text("utf-8")))
        except (OSError, ValueError):
            self._known.pop(video_id, None)
            return None
        self._known[video_id] = changed, found
        return found

    @contextmanager
    def incoming(self) -> Iterator[IncomingFile]:
        """Give a file to write to, for `add`; it is gone at the end unless it was added."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=self._incoming, suffix=PART_SUFFIX)
        path = Path(name)
        try:
            with naming_a_full_disk(self.folder), os.fdopen(number, "wb") as file:
                yield IncomingFile(path, file)
        finally:
            path.unlink(missing_ok=True)

    def add(
        self,
        incoming: IncomingFile,
        name: str,
        *,
        purpose: str = "user_data",
        is_kept: bool = True,
    ) -> LibraryVideo:
        """Take a file in; one of the same content is there once.

        Args:
            incoming: The file, written.
            name: What people call it.
            purpose: What a client said that it is for.
            is_kept: Whether it stays until it is deleted.
        """
        digest, num_bytes = incoming.finish()
        video_id = f"video-{digest[:_ID_DIGITS]}"
        with self._lock:
            found = self.find(video_id)
            if found is not None and self.content(found).exists():
                return self._again(found, name, purpose, is_kept=is_kept)
            video = LibraryVideo(
                id=video_id,
                name=_clean_name(name),
                created=time.time(),
                purpose=purpose,
                num_bytes=num_bytes,
                is_kept=is_kept,
            )
            folder = self._videos / video_id
            folder.mkdir(parents=True, exist_ok=True)
            incoming.path.replace(folder / _CONTENT)
            self.save(video)
        self.make_room()
        return video

    def add_content(
        self, video: LibraryVideo, incoming: IncomingFile, version: str | None
    ) -> LibraryVideo:
        """Put what was fetched into a video that was added by its address."""
        _, num_bytes = incoming.finish()
        incoming.path.replace(self._videos / video.id / _CONTENT)
        video = self.save(replace(video, num_bytes=num_bytes, version=version))
        self.make_room()
        return video

    def add_place(
        self, place: str, name: str, *, is_file: bool, is_kept: bool
    ) -> LibraryVideo:
        """Take in a video by its address, or by the path of its file; each is there once.

        Args:
            place: The address or the path.
            name: What people call it.
            is_file: Whether it is a path.
            is_kept: Whether it stays until it is deleted.
        """
        digest = hashlib.blake2b(os.fsencode(place), digest_size=16).hexdigest()
        video_id = f"video-{digest[:_ID_DIGITS]}"
        with self._lock:
            found = self.find(video_id)
            if found is not None:
                return self._again(found, name, found.purpose, is_kept=is_kept)
            (self._videos / video_id).mkdir(parents=True, exist_ok=True)
            return self.save(
                LibraryVideo(
                    id=video_id,
                    name=_clean_name(name),
                    created=time.time(),
                    address=None if is_file else place,
                    path=place if is_file else None,
                    num_bytes=Path(place).stat().st_size if is_file else None,
                    is_kept=is_kept,
                )
            )

    def save(self, video: LibraryVideo) -> LibraryVideo:
        """Write down what is known of a video; of one that was deleted nothing."""
        folder = self._videos / video.id
        with suppress(FileNotFoundError):
            write_atomically(folder / _FACTS, to_json(asdict(video)))
        return video

    def touch(self, video: LibraryVideo) -> LibraryVideo:
        """Note that a video is used."""
        with suppress(OSError):
            os.utime(self._videos / video.id)
        return video

    def content(self, video: LibraryVideo) -> Path:
        """Give the file of a video; it is not there before it was fetched."""
        if video.path is not None:
            return Path(video.path)
        return self._videos / video.id / _CONTENT

    def folder_of(self, video: LibraryVideo) -> Path:
        """Give the folder for what is made of a video."""
        return self._videos / video.id

    def delete(self, video: LibraryVideo) -> None:
        """Forget a video, and all that was asked about it."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        gone = self._incoming / f"{video.id}.{time.monotonic_ns()}"
        with suppress(FileNotFoundError):
            (self._videos / video.id).replace(gone)
        self._known.pop(video.id, None)
        _remove(gone)

    def make_room(self) -> None:
        """Delete what came with questions, that used longest ago first, until it fits."""
        passing = [video for video in self.videos() if not video.is_kept]
        used = {video.id: _used_seconds(self.folder_of(video)) for video in passing}
        total = sum(video.num_bytes or 0 for video in passing if video.path is None)
        for video in sorted(passing, key=lambda one: used[one.id])[:-1]:
            if total <= self._passing_bytes:
                break
            total -= video.num_bytes or 0
            self.delete(video)

    def note_question(self, video: LibraryVideo, record: dict[str, Any]) -> None:
        """Add a question and its answer to the history of a video."""
        line = f"{to_json(record)}\n".encode()
        path = self._videos / video.id / _QUESTIONS
        with suppress(FileNotFoundError), self._lock, path.open("ab") as file:
            file.write(line)
            file.flush()

    def count_questions(self, video: LibraryVideo) -> int:
        """Count what was asked about a video."""
        try:
            return (self._videos / video.id / _QUESTIONS).read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    def questions(self, video: LibraryVideo) -> list[dict[str, Any]]:
        """List what was asked about a video, in order; half a line is none."""
        return _read_lines(self._videos / video.id / _QUESTIONS)[-_MOST_QUESTIONS:]

    def forget_question(self, video: LibraryVideo, asked: float) -> bool:
        """Take a question out of the history of a video; tells whether it was there.

        Args:
            video: The video.
            asked: When it was asked, in seconds since 1970.
        """
        path = self._videos / video.id / _QUESTIONS
        with self._lock:
            found = _read_lines(path)
            kept = [one for one in found if one.get("asked") != asked]
            if len(kept) < len(found):
                write_atomically(path, "".join(f"{to_json(one)}\n" for one in kept))
        return len(kept) < len(found)

    def _again(
        self, video: LibraryVideo, name: str, purpose: str, *, is_kept: bool
    ) -> LibraryVideo:
        """Take in what is there: from now on it is kept, and tried again if it failed."""
        if not is_kept:
            return self.touch(video)
        if video.state == "failed":
            video = replace(video, state="new", problem=None)
        elif video.is_kept:
            return video
        if not video.is_kept:
            video = replace(
                video,
                is_kept=True,
                name=_clean_name(name),
                purpose=purpose,
                state="new",
            )
        return self.save(video)


class IncomingFile:
    """A file on its way into the library.

    Args:
        path: Its path for now.
        file: The same, open.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._file = file
        self._digest = hashlib.blake2b(digest_size=16)
        self.num_bytes = 0

    def write(self, data: bytes) -> None:
        """Add some bytes."""
        self._file.write(data)
        self._digest.update(data)
        self.num_bytes += len(data)

    def finish(self) -> tuple[str, int]:
        """Bring it to the disk; gives its digest and its length."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._digest.hexdigest(), self.num_bytes


def _is_id(text: str) -> bool:
    """Tell an id from what would lead out of the folder."""
    return text.isascii() and text.replace("-", "").isalnum()


def _clean_name(name: str) -> str:
    """Take the folders and what cannot be shown out of a name."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = "".join(letter for letter in last if letter.isprintable()).strip()
    return shown[-_NAME_CHARACTERS:] or "video"


def _used_seconds(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _read_lines(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [one for line in lines if (one := _read_line(line))]


def _read_line(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
