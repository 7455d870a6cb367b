"""Videos and pictures as requests name them: addresses of http, data and files, and ids."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import anyio.to_thread

from dynfocus.errors import UnreadableVideoError
from dynfocus.serving.conversations import Medium
from dynfocus.serving.failures import ApiError
from dynfocus.serving.library import Library, LibraryVideo
from dynfocus.video import (
    RemoteFile,
    SampledFrames,
    is_web_address,
    read_image,
)

if TYPE_CHECKING:
    from dynfocus.serving.service import Service


_MOST_MEDIA = 32


async def find_media(
    service: Service, media: Sequence[Medium]
) -> tuple[LibraryVideo | SampledFrames, ...]:
    """Find what messages show: videos of the library, and pictures.

    Raises:
        ApiError: There is none, or no such file.
        ValueError: An address cannot be read.
    """
    if not media:
        raise ApiError(
            400,
            "there is no video; add a part of type video_url or file to a message",
            parameter="messages",
        )
    if len(media) > _MOST_MEDIA:
        raise ApiError(
            400,
            f"a conversation may show {_MOST_MEDIA} videos and pictures at most, got "
            f"{len(media)}",
            parameter="messages",
        )
    found: list[LibraryVideo | SampledFrames] = []
    for one in media:
        if one.file_id is not None:
            video = service.library.find(one.file_id)
            if video is None:
                raise ApiError(404, f"there is no file {one.file_id[:80]!r}")
            found.append(service.library.touch(video))
        elif one.is_image:
            found.append(
                await anyio.to_thread.run_sync(_open_image, service, one.address or "")
            )
        else:
            found.append(
                await anyio.to_thread.run_sync(
                    add_address, service, one.address or "", one.name, False
                )
            )
    return tuple(found)


def add_address(
    service: Service, address: str, name: str = "", is_kept: bool = True
) -> LibraryVideo:
    """Take a video into the library by its address.

    Args:
        service: Whose library.
        address: An address of http, https, data or file.
        name: What people call it; by default the end of its address.
        is_kept: Whether it stays until it is deleted.

    Raises:
        ValueError: It cannot be read from there.
    """
    library = service.library
    if is_web_address(address):
        name = name or RemoteFile(address, service.policy).name
        return library.add_place(address, name, is_file=False, is_kept=is_kept)
    scheme = address.partition(":")[0].lower()
    if scheme == "data":
        return _add_content(library, decode_data(address), name or "video", is_kept)
    if scheme == "file":
        path = find_file(address, service.settings.roots)
        return library.add_place(
            str(path), name or path.name, is_file=True, is_kept=is_kept
        )
    raise UnreadableVideoError(
        "a video must be an address that begins with https:, http: or data:, or a file "
        f"that was uploaded, got {address[:40]!r}"
    )


def _add_content(
    library: Library, content: bytes, name: str, is_kept: bool
) -> LibraryVideo:
    with library.incoming() as incoming:
        incoming.write(content)
        return library.add(incoming, name, is_kept=is_kept)


def find_file(address: str, roots: Sequence[Path]) -> Path:
    """Find the file of a ``file:`` address, links followed.

    Raises:
        ApiError: It lies under none of the roots, or is not there.
    """
    parts = urlsplit(address)
    path = Path(unquote(parts.path))
    try:
        found = path.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        found = None
    allowed = [root.resolve() for root in roots]
    is_allowed = found is not None and any(map(found.is_relative_to, allowed))
    if not is_allowed or parts.netloc not in ("", "localhost"):
        raise ApiError(
            403,
            "this file may not be read by the server, or is not there; it reads those "
            "under the folders that it was started with (--root)",
        )
    assert found is not None
    if not found.is_file():
        raise ApiError(400, "the address names a folder; name a file")
    return found


def decode_data(address: str) -> bytes:
    """Take the content out of a data address.

    Raises:
        UnreadableVideoError: There is none, or it is no base64.
    """
    head, comma, body = address.partition(",")
    if not comma:
        raise UnreadableVideoError("the data address has no comma before its content")
    if not head.endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise UnreadableVideoError(
            "the content of the data address is no base64"
        ) from error


def _open_image(service: Service, address: str) -> SampledFrames:
    """Open a picture as a video of one frame, where files of strangers are decoded."""
    if is_web_address(address):
        return read_image(RemoteFile(address, service.policy))
    if address.partition(":")[0].lower() == "data":
        with service.library.incoming() as incoming:
            incoming.write(decode_data(address))
            incoming.finish()
            return read_image(incoming.path)
    raise UnreadableVideoError(
        "a picture must be an address that begins with https:, http: or data:, got "
        f"{address[:40]!r}"
    )
