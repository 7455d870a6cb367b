"""The structure of a file: whether its end is missing, and what MP4 tells of samples.

Boxes of MP4 (ISO 14496-12): their outer chain and their sample tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynfocus.video.files import VideoFile, size_of

_EBML_HEADER, _SEGMENT = 0x1A45DFA3, 0x18538067


class FileStructure(NamedTuple):
    """What the outer structure of a file tells about its length."""

    is_broken_off: bool = False
    """Whether the end of the file is missing or unreadable."""
    is_streamed: bool = False
    """Whether the file was written piece by piece, so nothing declares its length."""


def read_structure(path: VideoFile, format_name: str) -> FileStructure:
    """Read the structure of a transport stream, an MP4 or a Matroska file."""
    size = size_of(path)
    if "matroska" in format_name.split(","):
        end = _segment_end(path)
        return FileStructure(end is not None and end > size, end is None)
    if format_name == "mpegts":
        return FileStructure(not _ends_on_packet(path, size), is_streamed=True)
    if "mp4" in format_name.split(","):
        chain = follow_boxes(path)
        return FileStructure(chain.is_broken_off, chain.is_fragmented)
    return FileStructure()


def _ends_on_packet(path: VideoFile, size: int) -> bool:
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


def _segment_end(path: VideoFile) -> int | None:
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


class BoxChain(NamedTuple):
    """The top-level boxes of a file."""

    is_broken_off: bool
    """Whether the chain does not end where the file ends."""
    is_fragmented: bool
    """Whether samples are described piece by piece, so nothing declares the length."""
    movie: tuple[int, int] | None
    """First byte and length of what the ``moov`` box holds."""


class SampleTimes(NamedTuple):
    """What the sample tables of a track say about display."""

    offsets: NDArray[np.int64]
    """Ticks from decoding to display of each sample, shape ``[P]``."""
    last_duration: int
    """Ticks for which the last sample stays."""


def follow_boxes(path: VideoFile) -> BoxChain:
    """Follow the chain of top-level boxes (4.2)."""
    size = size_of(path)
    position = 0
    is_fragmented = False
    movie = None
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            header = file.read(16)
            length, kind = int.from_bytes(header[:4], "big"), header[4:8]
            head = 8
            if length == 1:
                length, head = int.from_bytes(header[8:16], "big"), 16
            elif length == 0 and kind == b"mdat":
                length = size - position
            if length < 8:
                break
            is_fragmented |= kind == b"moof"
            if kind == b"moov":
                movie = (position + head, length - head)
            position += length
    return BoxChain(position != size, is_fragmented, movie)


def read_sample_times(
    path: VideoFile, chain: BoxChain, track_id: int
) -> SampleTimes | None:
    """Read the times of a track's samples; nothing if its tables are not plain."""
    if chain.movie is None:
        return None
    start, length = chain.movie
    with path.open("rb") as file:
        file.seek(start)
        movie = memoryview(file.read(length))
    for kind, track in _children(movie):
        if kind == b"trak" and _track_id(track) == track_id:
            tables = _find(track, b"mdia", b"minf", b"stbl")
            return None if tables is None else _sample_times(tables)
    return None


def _sample_times(tables: memoryview) -> SampleTimes | None:
    """Expand the runs of the composition offsets (8.6.1)."""
    sizes = _find(tables, b"stsz") or _find(tables, b"stz2")
    durations = _runs(_find(tables, b"stts"))
    if sizes is None or not len(durations):
        return None
    num_samples = int.from_bytes(sizes[8:12], "big")
    shifts = _find(tables, b"ctts")
    if shifts is None:
        return SampleTimes(np.zeros(num_samples, np.int64), int(durations[-1, 1]))
    runs = _runs(shifts)
    if int(runs[:, 0].sum()) != num_samples:
        return None
    return SampleTimes(np.repeat(runs[:, 1], runs[:, 0]), int(durations[-1, 1]))


def _runs(table: memoryview | None) -> NDArray[np.int64]:
    """Read a table of run lengths and values, shape ``[runs, 2]``."""
    if table is None:
        return np.zeros((0, 2), np.int64)
    count = min(int.from_bytes(table[4:8], "big"), (len(table) - 8) // 8)
    numbers = np.frombuffer(table[8 : 8 + 8 * count], dtype=">i4")
    return numbers.astype(np.int64).reshape(-1, 2)


def _track_id(track: memoryview) -> int:
    """Read the number of a track from its header (8.3.2)."""
    header = _find(track, b"tkhd")
    if header is None or len(header) < 24:
        return -1
    start = 20 if header[0] == 1 else 12
    return int.from_bytes(header[start : start + 4], "big")


def _find(box: memoryview, *kinds: bytes) -> memoryview | None:
    """Follow a path of kinds down from a box, the first of each kind."""
    for kind in kinds:
        inner = next((data for name, data in _children(box) if name == kind), None)
        if inner is None:
            return None
        box = inner
    return box


def _children(box: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the kind and content of the boxes in a box."""
    position = 0
    while position + 8 <= len(box):
        length, head = int.from_bytes(box[position : position + 4], "big"), 8
        kind = bytes(box[position + 4 : position + 8])
        if length == 1:
            length, head = int.from_bytes(box[position + 8 : position + 16], "big"), 16
        elif length == 0:
            length = len(box) - position
        if length < head or position + length > len(box):
            return
        yield kind, box[position + head : position + length]
        position += length
