"""Mixed-frequency sampling of SlowFocus as its published code has it, frame by frame.

For parity only: `dynfocus.methods.loops.slowfocus` is what is used. Letters: T frames of
the video.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Segment = tuple[str, str]
"""The digits of begin and end, as they were written."""

_PAIR = re.compile(r"(\d{2,4}) (?:to|and) (\d{2,4})")


def write_time(seconds: float, duration: float, num_bins: int) -> str:
    """Write a time as digits: its bin of the video, padded with zeros.

    Args:
        seconds: The time.
        duration: Length of the video in seconds.
        num_bins: Bins of the video, a power of ten.
    """
    found = min(round(seconds / duration * num_bins), num_bins - 1)
    return str(found).zfill(len(str(num_bins)) - 1)


def read_segments(text: str) -> list[Segment]:
    """Read "AA to BB" and "AA and BB" with two to four digits each, begin before end."""
    found = (match.groups() for match in _PAIR.finditer(text))
    return [(start, end) for start, end in found if int(start) < int(end)]


def read_fraction(digits: str) -> float:
    """Read digits as those behind a decimal point, whatever their number."""
    return int(digits) / 10 ** len(digits)


def low_frames(
    num_frames: int, native_fps: float, *, fps: float = 1.0, max_frames: int = 100
) -> list[int]:
    """Choose the low-frequency frames; rounding may exceed ``max_frames``.

    Args:
        num_frames: Frames of the video, ``T``.
        native_fps: Frames a second of the video.
        fps: Frames a second to choose.
        max_frames: About how many to choose at most.
    """
    step = min(max(round(native_fps / fps), 1), num_frames)
    if num_frames / step > max_frames:
        step = round(num_frames / max_frames)
    return list(range(0, num_frames, step))


def dense_frames(
    segments: Sequence[Segment], num_frames: int, num_dense: int = 20
) -> list[int]:
    """Choose the frames of segments, one segment after the other and in no order.

    Args:
        segments: What `read_segments` gave.
        num_frames: Frames of the video, ``T``.
        num_dense: Frames of a segment that has more, both of its ends among them.
    """
    chosen: list[int] = []
    for start, end in segments:
        first = round(read_fraction(start) * num_frames)
        last = min(round(read_fraction(end) * num_frames), num_frames - 1)
        if last - first > num_dense:
            step = (last - first) / (num_dense - 1)
            chosen += [int(first + step * place) for place in range(num_dense)]
        else:
            chosen += range(first, last + 1)
    return chosen


def merge_frames(
    low: Sequence[int], high: Sequence[int]
) -> tuple[list[int], list[int], list[int]]:
    """Merge two lists as if they were sorted; a frame of both stands twice.

    Returns:
        The frames, and the places of the low and of the high ones among them.
    """
    merged: list[int] = []
    places: tuple[list[int], list[int]] = ([], [])
    rest = list(low), list(high)
    while rest[0] or rest[1]:
        is_high = not rest[0] or bool(rest[1] and rest[1][0] < rest[0][0])
        places[is_high].append(len(merged))
        merged.append(rest[is_high].pop(0))
    return merged, *places
