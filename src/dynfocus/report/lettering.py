"""Letters, colours and times of pictures and pages."""

from __future__ import annotations

import colorsys
from functools import cache
from pathlib import Path

import matplotlib
from PIL import ImageFont

Colour = tuple[int, int, int]

PAPER: Colour = (250, 250, 248)
INK: Colour = (28, 30, 34)
FAINT: Colour = (105, 110, 118)

_NUM_TICKS = 8
_STEPS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


def choose_colours(count: int) -> list[Colour]:
    """Choose colours; neighbours in the list look different."""
    colours = []
    for number in range(count):
        hue = (0.58 + number * 0.381966) % 1  # the golden angle
        value = (0.86, 0.66)[number % 2]
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.62, value)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


@cache
def font(pixels: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Give the font that comes with matplotlib, at some height."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), pixels
    )


def shorten(text: str, letters: ImageFont.FreeTypeFont, width: int) -> str:
    """Cut text in the middle until it fits."""
    if letters.getlength(text) <= width:
        return text
    keep = len(text) - 1
    while keep > 2 and letters.getlength(_without_middle(text, keep)) > width:
        keep -= 1
    return _without_middle(text, keep)


def _without_middle(text: str, keep: int) -> str:
    return f"{text[: keep - keep // 2]}...{text[len(text) - keep // 2 :]}"


def format_time(seconds: float, *, with_tenths: bool = False) -> str:
    """Write seconds as ``mm:ss`` or, from one hour on, ``h:mm:ss``.

    Args:
        seconds: Time from the start, not negative.
        with_tenths: Add tenths of a second, for videos shorter than a minute.
    """
    tenths = int(seconds * 10 + 1e-6)
    whole, tenth = divmod(tenths, 10)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    text = (
        f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute:02d}:{second:02d}"
    )
    return f"{text}.{tenth}" if with_tenths else text


def choose_ticks(duration: float) -> list[float]:
    """Choose round times for the marks of a time axis."""
    step = next(
        (s for s in _STEPS if duration / s <= _NUM_TICKS), duration / _NUM_TICKS
    )
    count = int(duration / step * 0.985) + 1  # none at the very end: no room for it
    return [number * step for number in range(count)]
