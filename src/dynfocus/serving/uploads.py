"""Uploads in parts, on disk, so that they can go on after the server ended.

An upload is a folder: ``upload.json`` says what is coming, every other file is a part.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from dynfocus.atomic import write_atomically
from dynfocus.serving.failures import ApiError
from dynfocus.serving.library import Library, LibraryVideo
from dynfocus.validation import checked, from_mapping

_FACTS = "upload.json"
_KEPT_SECONDS = 3600.0
_CHUNK_BYTES = 2**20
PART_BYTES = 64 * 2**20
"""The most that a part may have, as of OpenAI."""


@checked
class PartialUpload:
    """A file that comes in parts."""

    id: str
    """What requests call it."""
    filename: str
    """What people call the file."""
    num_bytes: int
    """How long it will be."""
    purpose: str
    """What the client said that it is for."""
    created: float
    """When it began, in seconds since 1970."""

    @property
    def expires(self) -> float:
        """When it is given up, in seconds since 1970."""
        return self.created + _KEPT_SECONDS


class Uploads:
    """The uploads of a library.

    Args:
        library: Where whole files go.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._folder = library.folder / "uploads"

    def create(self, filename: str, num_bytes: int, purpose: str) -> PartialUpload:
        """Begin an upload, and give up those that are too old."""
        self._clean()
        upload = PartialUpload(
            id=f"upload-{uuid.uuid4().hex}",
            filename=filename,
            num_bytes=num_bytes,
            purpose=purpose,
            created=time.time(),
        )
        folder = self._folder / upload.id
        folder.mkdir(parents=True)
        write_atomically(folder / _FACTS, json.dumps(asdict(upload)))
        return upload

    def find(self, upload_id: str) -> PartialUpload:
        """Give an upload.

        Raises:
            ApiError: There is none of this id, or it took too long.
        """
        folder = self._folder_of(upload_id)
        try:
            text = (folder / _FACTS).read_text("utf-8")
            found = from_mapping(PartialUpload, json.loads(text))
        except (OSError, ValueError):
            raise ApiError(404, "there is no such upload", code="not_found") from None
        if found.expires < time.time():
            raise ApiError(404, "the upload took too long; begin again", code="expired")
        return found

    def add_part(self, upload: PartialUpload, data: bytes) -> str:
        """Take in a part; gives its id.

        Raises:
            ApiError: It is too large, or there is more than was said.
        """
        if len(data) > PART_BYTES:
            raise ApiError(413, f"a part may have {PART_BYTES:,} bytes at most")
        folder = self._folder_of(upload.id)
        there = sum(part.stat().st_size for part in folder.glob("part-*"))
        if there + len(data) > upload.num_bytes:
            raise ApiError(
                400, f"the parts have more than the {upload.num_bytes:,} bytes promised"
            )
        part_id = f"part-{uuid.uuid4().hex}"
        write_atomically(folder / part_id, data)
        return part_id

    def complete(
        self, upload: PartialUpload, part_ids: Sequence[str], md5: str | None
    ) -> LibraryVideo:
        """Put the parts together and take the file into the library.

        Raises:
            ApiError: A part is missing, or the file is not as it was said to be.
        """
        folder = self._folder_of(upload.id)
        digest = hashlib.md5(usedforsecurity=False)
        with self._library.incoming() as incoming:
            for part_id in part_ids:
                path = folder / part_id
                if not part_id.startswith("part-") or path.parent != folder:
                    raise ApiError(400, f"there is no part {part_id[:80]!r}")
                try:
                    with path.open("rb") as file:
                        while data := file.read(_CHUNK_BYTES):
                            incoming.write(data)
                            digest.update(data)
                            if incoming.num_bytes > upload.num_bytes:
                                raise ApiError(
                                    400,
                                    "the parts have more than the "
                                    f"{upload.num_bytes:,} bytes promised",
                                )
                except FileNotFoundError:
                    raise ApiError(400, f"there is no part {part_id[:80]!r}") from None
            if incoming.num_bytes != upload.num_bytes:
                raise ApiError(
                    400,
                    f"the parts have {incoming.num_bytes:,} bytes together, and "
                    f"{upload.num_bytes:,} were promised",
                )
            if md5 is not None and md5.lower() != digest.hexdigest():
                raise ApiError(400, "the file has another MD5 digest than was promised")
            video = self._library.add(incoming, upload.filename, purpose=upload.purpose)
        self.cancel(upload)
        return video

    def cancel(self, upload: PartialUpload) -> None:
        """Forget an upload and its parts."""
        shutil.rmtree(self._folder_of(upload.id), ignore_errors=True)

    def _folder_of(self, upload_id: str) -> Path:
        name = upload_id.removeprefix("upload-")
        if not (name.isascii() and name.isalnum()):
            raise ApiError(404, "there is no such upload", code="not_found")
        return self._folder / f"upload-{name}"

    def _clean(self) -> None:
        """Forget uploads that took too long."""
        now = time.time()
        for folder in self._folder.glob("upload-*"):
            try:
                age = now - folder.stat().st_mtime
            except FileNotFoundError:
                continue
            if age > _KEPT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
