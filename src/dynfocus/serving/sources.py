"""Videos and pictures as requests name them: addresses of http, data and files."""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from dynfocus.atomic import write_atomically
from dynfocus.errors import UnreadableVideoError
from dynfocus.video import FetchPolicy, RemoteFile, is_web_address

POLICY = FetchPolicy(
    allow_private=False, max_bytes=2**30, read_seconds=20.0, total_seconds=600.0
)
"""What a server fetches for those who ask it."""


def open_video(address: str, folder: Path) -> Any:
    """Open what a request names as a video.

    Args:
        address: An address of http, https or data.
        folder: Where content is put that comes with the request.

    Raises:
        ValueError: It cannot be read from there.
    """
    if is_web_address(address):
        return RemoteFile(address, POLICY)
    if address.startswith("data:"):
        content = decode_data(address)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / blake2b(content, digest_size=16).hexdigest()
        if not path.exists():
            write_atomically(path, content)
        return path
    raise ValueError(
        "a video must be an address that begins with https:, http: or data:, or a file "
        f"that was uploaded, got {address[:40]!r}"
    )


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
