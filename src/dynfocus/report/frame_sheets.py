"""Chosen frames as pictures: JPEG files, and sheets of small ones with their times.

Letters: T frames.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dynfocus.report.pages import INK, PAPER, font, format_time

_QUALITY = 85
_GAP = 6
_CAPTION = 22
_LETTERS = 16
_SHEET_PIXELS = 1024


@dataclass(frozen=True, kw_only=True)
class FrameSheet:
    """Small frames side by side, in time order, row after row."""

    picture: NDArray[np.uint8]
    """The sheet, ``[H, W, 3]``."""
    times: tuple[float, ...]
    """Times of its frames in seconds, as written under them."""


def encode_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """Write a picture, ``[H, W, 3]``, as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=_QUALITY)
    return buffer.getvalue()


def draw_frame_sheets(
    frames: NDArray[np.uint8], times: NDArray[np.float64]
) -> list[FrameSheet]:
    """Lay frames out on sheets of 1024 pixels at most, with their times under them.

    Args:
        frames: Small frames of uint8, shape ``[T, H, W, 3]``.
        times: Their times in seconds, shape ``[T]``.

    Returns:
        As many sheets as are needed, each as full as the others.
    """
    if not len(frames):
        return []
    height, width = frames.shape[1:3]
    columns = max(1, (_SHEET_PIXELS - _GAP) // (width + _GAP))
    rows = max(1, (_SHEET_PIXELS - _GAP) // (height + _CAPTION + _GAP))
    num_sheets = -(-len(frames) // (columns * rows))
    return [
        _draw_sheet(frames[part], times[part], columns)
        for part in np.array_split(np.arange(len(frames)), num_sheets)
    ]


def _draw_sheet(
    frames: NDArray[np.uint8], times: NDArray[np.float64], most_columns: int
) -> FrameSheet:
    height, width = frames.shape[1:3]
    num_rows = -(-len(frames) // most_columns)
    columns = -(-len(frames) // num_rows)
    size = (
        _GAP + columns * (width + _GAP),
        _GAP + num_rows * (height + _CAPTION + _GAP),
    )
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (frame, time) in enumerate(zip(frames, times, strict=True)):
        row, column = divmod(number, columns)
        x = _GAP + column * (width + _GAP)
        y = _GAP + row * (height + _CAPTION + _GAP)
        sheet.paste(Image.fromarray(frame), (x, y))
        text = format_time(float(time), with_tenths=True)
        middle = (x + width / 2, y + height + _CAPTION / 2)
        draw.text(middle, text, INK, font(_LETTERS), anchor="mm")
    return FrameSheet(
        picture=np.asarray(sheet), times=tuple(float(time) for time in times)
    )
