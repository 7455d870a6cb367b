"""A file with two video streams: the first, which players show, and a smaller one."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

Draw = Callable[[int, int, int], np.ndarray]


def _grey(number: int, height: int, width: int) -> np.ndarray:
    return np.full(
        (height, width, 3), min(number % 500 * 4 + number // 5, 255), np.uint8
    )


def write_two_streams(path: Path, draw: Draw = _grey) -> Path:
    """Write four seconds, ten frames a second.

    Args:
        path: The file.
        draw: Gives the picture of a number, height and width; the frames of the first
            stream have the numbers 0, 1, ..., those of the second 500, 501, ...
    """
    with av.open(str(path), "w") as out:
        streams = []
        for height, width in ((64, 96), (32, 48)):
            stream = out.add_stream("libx264", rate=10)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            stream.codec_context.time_base = Fraction(1, 90_000)
            streams.append((stream, height, width))
        for number in range(40):
            for first, (stream, height, width) in zip((0, 500), streams, strict=True):
                picture = draw(first + number, height, width)
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts, frame.time_base = number * 9000, Fraction(1, 90_000)
                out.mux(stream.encode(frame))
        for stream, *_ in streams:
            out.mux(stream.encode(None))
    return path
