"""Letters and colours of the pictures that Pillow draws."""

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
