"""What FFmpeg is given to open a source of video that is still coming."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from dynfocus.video.addresses import (
    is_web_address,
    restore_address,
    scheme_of,
    show_address,
)
from dynfocus.video.container import FORMATS_OF_STREAMS, SINGLE_FILE
from dynfocus.video.remote import RemoteFile

STANDARD_INPUT = "-"
_STREAMS = ("rtp", "rtsp", "rtsps", "rtmp", "rtmps", "rist", "srt", "tcp", "tls", "udp")
"""How the address of a stream begins that FFmpeg opens itself."""
_STREAM = {
    **SINGLE_FILE,
    "format_whitelist": ",".join((SINGLE_FILE["format_whitelist"], FORMATS_OF_STREAMS)),
    "protocol_whitelist": ",".join((*_STREAMS, "srtp")),
}
"""FFmpeg's options for a stream, which opens no file and no page of the web."""
_LONG_SECONDS = 20 * 86_400.0
"""For ever, as far as a socket can wait."""


class _Arriving:
    """A binary file whose reads give what is there instead of waiting for all of it.

    Args:
        file: The file.
    """

    def __init__(self, file: Any) -> None:
        is_buffered = isinstance(file, io.BufferedReader)
        self.read = file.read1 if is_buffered else file.read


class _Received:
    """What a server sends, as a file that is read once.

    Args:
        chunks: What comes.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, num_bytes: int) -> bytes:
        """Give what is there, at most so much; nothing at the end."""
        if not self._rest:
            self._rest = next(self._chunks, b"")
        given, self._rest = self._rest[:num_bytes], self._rest[num_bytes:]
        return given


def target_of(
    source: str | Path | BinaryIO, input_format: str | None
) -> tuple[Any, str | None]:
    """Say how FFmpeg calls a source; an address of http or https stays as it is.

    Args:
        source: What `LiveReader` takes.
        input_format: FFmpeg's name of its format, where one is given.

    Returns:
        The name or the file, and the name of the format, if any.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is an address that is neither a file's nor a stream's.
    """
    if not isinstance(source, str | Path):
        return _Arriving(source), input_format
    name = restore_address(str(source)) if isinstance(source, Path) else source
    if name == STANDARD_INPUT:
        return "pipe:0", input_format
    if name.startswith("/dev/video") and input_format is None:
        return name, "v4l2"
    if Path(name).exists() and not name.startswith("/dev/"):
        # The prefix keeps a colon in the name from being read as a protocol.
        return f"file:{name}", input_format
    scheme = scheme_of(name)
    if is_web_address(name) or scheme in _STREAMS:
        return name, input_format
    if scheme is not None:
        raise ValueError(
            f"{show_address(name)}: addresses of {scheme} are not watched, only those of "
            f"http, https, {', '.join(_STREAMS)}."
        )
    if isinstance(source, str) and input_format is not None:
        return name, input_format
    if name.startswith("/dev/"):
        return name, input_format
    raise FileNotFoundError(
        f"{name}: there is no such file; give a file, '-' for standard input, a device "
        "or an address such as rtsp://host/path."
    )


def safe_options(target: Any, input_format: str | None) -> dict[str, str]:
    """Let a source open nothing else, unless the user names a format of FFmpeg's.

    Args:
        target: What `target_of` gave.
        input_format: The name of the format that it gave.
    """
    if isinstance(target, str) and is_web_address(target):
        return SINGLE_FILE
    if input_format is not None:
        return {}
    if isinstance(target, str) and scheme_of(target) in _STREAMS:
        return _STREAM
    return SINGLE_FILE


@contextmanager
def opened(target: Any, timeout_seconds: float | None) -> Iterator[Any]:
    """Give what FFmpeg opens: of an address of the web what our own fetcher reads.

    A server that gives parts is read by parts, so that the index of a file may stand at
    its end; what others send is read once, as it comes.

    Args:
        target: What `target_of` gave.
        timeout_seconds: How long a server may be silent; ``None`` waits for ever.

    Raises:
        UnreachableVideoError: The address cannot be read, also raised by reading.
    """
    if not isinstance(target, str) or not is_web_address(target):
        yield target
        return
    from dynfocus.video.fetch_policy import FetchPolicy
    from dynfocus.video.fetching import Fetcher

    policy = FetchPolicy(
        read_seconds=min(timeout_seconds or _LONG_SECONDS, _LONG_SECONDS),
        total_seconds=1000 * _LONG_SECONDS,
    )
    fetcher = Fetcher(target, policy)
    try:
        with fetcher.request(0, 1) as reply:
            is_part = reply.is_part
        if is_part:
            with RemoteFile(target, policy).open() as file:
                yield file
        else:
            yield _Received(fetcher.receive())
    finally:
        fetcher.close()
