"""Server-sent events: the data of each, from the bytes of a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dynfocus.errors import DynFocusError

_LONGEST_LINE = 16 * 2**20


class StreamError(DynFocusError, ValueError):
    """A stream does not hold server-sent events."""


def read_events(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the data of each event as soon as it is whole.

    Lines end with a line feed, with or without a carriage return before it; no other
    character ends one, since an answer may hold any.

    Args:
        chunks: The stream, cut anywhere.

    Yields:
        The lines of data of an event, joined by line feeds.
    """
    data: list[str] = []
    for line in _lines(chunks):
        if not line:
            if data:
                yield "\n".join(data)
                data.clear()
            continue
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
    if data:
        yield "\n".join(data)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield _decode(line)
        if len(rest) > _LONGEST_LINE:
            raise StreamError(
                f"sent a line of more than {_LONGEST_LINE} bytes, which is no answer"
            )
    if rest:
        yield _decode(rest)


def _decode(line: bytes) -> str:
    try:
        return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise StreamError("sent text that is not UTF-8") from error
