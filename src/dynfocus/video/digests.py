"""What a video goes by: its content, whatever it is called and wherever it lies."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from pathlib import Path

from dynfocus.atomic import write_atomically
from dynfocus.errors import UnusableEntryError
from dynfocus.video.files import VideoName, as_file
from dynfocus.video.remote import RemoteFile

_DIGEST_BYTES = 16
_SETTLED_SECONDS = 2.0
"""A file changed so recently may change again without a new time."""
_logger = logging.getLogger(__name__)


class VideoDigests:
    """Tell what videos go by: their content, or the version that a server names.

    Args:
        folder: The folder in which digests are remembered, among other things; it need
            not be there.
    """

    def __init__(self, folder: Path) -> None:
        self._files = ContentDigests(folder / "digests")

    def of(self, video: VideoName) -> str:
        """Give what a file goes by; a file on a disk is read if it is new.

        Raises:
            UnusableEntryError: Nothing tells one version of a remote file from the next.
        """
        video = as_file(video)
        if not isinstance(video, RemoteFile):
            return self._files.of(video)
        if video.identity is None:
            raise UnusableEntryError(
                f"{video}: its server names no version of it (ETag or Last-Modified), "
                "so what is kept of it could not be trusted"
            )
        return video.identity

    def forget_missing(self) -> None:
        """Remove what is remembered of files that are no longer there."""
        self._files.forget_missing()


class ContentDigests:
    """Name files by their content.

    A digest is remembered by the path, size and times of the file, one small file each,
    so that a large video is not read whole for every question.

    Args:
        folder: Where digests are remembered; it need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[Path, tuple[list[int], str]] = {}

    def of(self, path: str | Path) -> str:
        """Give the digest of a file.

        Args:
            path: The file.

        Returns:
            32 hexadecimal digits that depend on its content alone.
        """
        path = Path(path).resolve()
        facts = _facts(path)
        known_facts, digest = self._known.get(path) or self._recall(path)
        if known_facts == facts:
            return digest
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, _hash).hexdigest()
        is_settled = time.time() - path.stat().st_mtime > _SETTLED_SECONDS
        if is_settled and _facts(path) == facts:
            self._known[path] = facts, digest
            self._remember(path, facts, digest)
        return digest

    def forget_missing(self) -> None:
        """Remove what is remembered of files that are no longer there."""
        for note in self.folder.glob("*.json"):
            if not Path(str(_read(note).get("path", ""))).is_file():
                note.unlink(missing_ok=True)

    def _note(self, path: Path) -> Path:
        name = hashlib.blake2b(os.fsencode(path), digest_size=_DIGEST_BYTES)
        return self.folder / f"{name.hexdigest()}.json"

    def _recall(self, path: Path) -> tuple[object, str]:
        """Read the facts and the digest of a file that were written down."""
        known = _read(self._note(path))
        facts = known.get("facts") if known.get("path") == str(path) else None
        return facts, str(known.get("digest"))

    def _remember(self, path: Path, facts: list[int], digest: str) -> None:
        note = self._note(path)
        document = {"path": str(path), "facts": facts, "digest": digest}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(note, json.dumps(document))
        except OSError as error:
            _logger.info("the digest of a file is not remembered: %s", error)


def _hash() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=_DIGEST_BYTES)


def _facts(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _read(note: Path) -> dict[str, object]:
    """Read what is remembered; what cannot be read is as good as not there."""
    try:
        document = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
