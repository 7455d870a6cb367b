"""Self-contained HTML pages from templates, and the letters and colours of pictures."""

from __future__ import annotations

import base64
import colorsys
import io
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image, ImageFont

Colour = tuple[int, int, int]

PAPER: Colour = (250, 250, 248)
INK: Colour = (28, 30, 34)
FAINT: Colour = (105, 110, 118)

_NUM_TICKS = 8
_MINUTE = 60.0
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
    import matplotlib  # for its files alone

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


def wrap(text: str, letters: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break text between words into lines that fit; a word that is too long stays."""
    lines: list[str] = []
    for word in text.split():
        if lines and letters.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


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


def choose_ticks(end: float, start: float = 0.0) -> list[float]:
    """Choose round times for the marks of a time axis."""
    length = end - start
    step = next((s for s in _STEPS if length / s <= _NUM_TICKS), length / _NUM_TICKS)
    first = math.ceil(start / step - 1e-9)
    last = int((start + length * 0.985) / step)  # none at the very end: no room for it
    return [number * step for number in range(first, last + 1)]


def describe_length(interval: tuple[float, float], duration: float) -> str:
    """Say how long a video is, or which part of it is shown.

    Args:
        interval: Where the part begins and ends, in seconds.
        duration: Length of the video in seconds.
    """
    if interval[0] <= 0 and interval[1] >= duration:
        return f"{time_in(duration, duration)} long"
    start, end = (time_in(seconds, interval[1] - interval[0]) for seconds in interval)
    return f"{start} to {end} of {time_in(duration, duration)}"


def render(template: str, **values: Any) -> str:
    """Fill a template of ``report/templates``; text is made harmless inside HTML.

    Args:
        template: Name of its file.
        **values: What its names stand for.
    """
    return _environment().get_template(template).render(values)


def data_uri(picture: NDArray[np.uint8]) -> str:
    """Encode a picture, uint8 ``[H, W, 3]``, as a JPEG inside an address."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dynfocus.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["data_uri"] = data_uri
    environment.filters["time"] = time_in
    return environment


def time_in(seconds: float, duration: float) -> str:
    """Write a time of a video; with tenths where that is shorter than a minute.

    Args:
        seconds: The time.
        duration: Length of the video in seconds.
    """
    return format_time(seconds, with_tenths=duration < _MINUTE)
