"""The outer structure of a file: whether its end is missing."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, NamedTuple

from dynfocus.video.boxes import follow_boxes

_EBML_HEADER, _SEGMENT = 0x1A45DFA3, 0x18538067


class FileStructure(NamedTuple):
    """What the outer structure of a file tells about its length."""

    is_broken_off: bool = False
    """Whether the end of the file is missing or unreadable."""
    is_streamed: bool = False
    """Whether the file was written piece by piece, so nothing declares its length."""


def read_structure(path: Path, format_name: str) -> FileStructure:
    """Read the structure of a transport stream, an MP4 or a Matroska file."""
    size = path.stat().st_size
    if "matroska" in format_name.split(","):
        end = _segment_end(path)
        return FileStructure(end is not None and end > size, end is None)
    if format_name == "mpegts":
        return FileStructure(not _ends_on_packet(path, size), is_streamed=True)
    if "mp4" in format_name.split(","):
        chain = follow_boxes(path)
        return FileStructure(chain.is_broken_off, chain.is_fragmented)
    return FileStructure()


def _ends_on_packet(path: Path, size: int) -> bool:
    """Tell whether the last two packets of a transport stream are whole."""
    with path.open("rb") as file:
        file.seek(max(0, size - 2 * 204))
        tail = file.read()
    # Packets have 188 bytes; disks put 4 before them, broadcasters 16 behind.
    for length, start in ((188, 0), (192, 4), (204, 0)):
        marks = tail[-2 * length :][start::length]
        if len(tail) >= 2 * length and marks == b"GG":
            return True
    return False


def _segment_end(path: Path) -> int | None:
    """Find where the segment of a Matroska file should end (RFC 8794, 4 to 6).

    Returns:
        Bytes from the beginning, or None where it was written without a length.
    """
    with path.open("rb") as file:
        while (kind := _read_number(file, keeps_mark=True)) is not None:
            length = _read_number(file)
            if kind not in (_EBML_HEADER, _SEGMENT) or length is None:
                return None
            end = file.tell() + length
            if kind == _SEGMENT:
                return end
            file.seek(end)
    return None


def _read_number(file: BinaryIO, *, keeps_mark: bool = False) -> int | None:
    """Read a number of variable length, nothing if all of its bits are set."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    num_bytes = 9 - first[0].bit_length()
    number = int.from_bytes(first + file.read(num_bytes - 1), "big")
    mark = 1 << 7 * num_bytes
    if keeps_mark:
        return number
    return None if number == 2 * mark - 1 else number - mark
