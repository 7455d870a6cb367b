"""Looks of the widened world: letters, badges, objects and walls, drawn once and kept."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from dynfocus.world.render import Picture, polygon
from dynfocus.world.vocabulary import ROOMS
from dynfocus.world.wide.scene import Style, Thing

FONTS: dict[str, tuple[str, ...]] = {
    "training": (
        "DejaVuSans-Bold",
        "DejaVuSans",
        "DejaVuSans-Oblique",
        "DejaVuSansMono-Bold",
        "DejaVuSerif-Bold",
        "DejaVuSerif",
        "STIXGeneralBol",
        "cmr10",
        "cmb10",
    ),
    "unseen": (
        "DejaVuSerif-BoldItalic",
        "DejaVuSansMono-BoldOblique",
        "STIXGeneralBolIta",
        "cmss10",
        "cmtt10",
    ),
}
"""Files of the ``matplotlib`` wheel, so every machine draws alike."""

BADGES = ("plate", "disc", "dark plate", "yellow plate", "outline")
BADGE_SHARES = {"star": 0.48, "triangle": 0.46, "diamond": 0.52}
"""Width of a badge in widths of its object, 0.56 of other shapes."""
_SUPERSAMPLING = 3
_INKS = {  # of the badge, none where the letter stands on the object; of the letter
    "plate": ((250, 250, 250), (10, 10, 10)),
    "disc": ((250, 250, 250), (10, 10, 10)),
    "dark plate": ((24, 24, 30), (250, 250, 250)),
    "yellow plate": ((255, 244, 150), (20, 20, 90)),
    "outline": (None, (255, 255, 255)),
}


@lru_cache(maxsize=256)
def _font(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    import matplotlib as mpl

    path = Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(str(path), pixels)


@lru_cache(maxsize=2048)
def sprite(
    thing: Thing, pixels: int, *, degrees: int = 0, lit: bool = False, blur: float = 0.0
) -> NDArray[np.uint8]:
    """Draw one object, antialiased.

    Args:
        thing: What it is.
        pixels: Its width.
        degrees: How far it is turned.
        lit: Whether it flashes: its colour is nearly white.
        blur: Standard deviation in pixels.

    Returns:
        RGBA, ``[S, S, 4]`` uint8, with a margin for what is turned or blurred.
    """
    unit = _SUPERSAMPLING
    margin = 2 + round(2 * blur) + (round(0.25 * pixels) if degrees else 0)
    side = pixels + 2 * margin
    rgb = tuple(255 - (255 - c) // 6 for c in thing.rgb) if lit else thing.rgb
    image = Image.new("RGBA", (side * unit, side * unit), (*rgb, 0))
    draw = ImageDraw.Draw(image)
    middle = side * unit / 2
    corners = polygon(thing.shape, pixels / 2 * unit)
    draw.polygon([(middle + x, middle + y) for x, y in corners], fill=(*rgb, 255))
    _draw_badge(draw, thing, middle, pixels * unit)
    if degrees:
        image = image.rotate(-degrees, Image.Resampling.BILINEAR, fillcolor=(*rgb, 0))
    small = image.resize((side, side), Image.Resampling.BOX)
    return smooth(small, blur)


def badge_pixels(thing: Thing, pixels: float) -> float:
    """Return the width of a badge on an object of a width."""
    return BADGE_SHARES.get(thing.shape, 0.56) * pixels


def _draw_badge(
    draw: ImageDraw.ImageDraw, thing: Thing, middle: float, pixels: float
) -> None:
    half = badge_pixels(thing, pixels) / 2
    drop = 0.1 * pixels if thing.shape == "triangle" else 0.0  # towards its wide side
    box = (middle - half, middle - half + drop, middle + half, middle + half + drop)
    paper, ink = _INKS[thing.badge]
    if thing.badge == "disc":
        draw.ellipse(box, fill=(*paper, 255))  # type: ignore[misc]
    elif paper:
        draw.rounded_rectangle(box, radius=0.3 * half, fill=(*paper, 255))
    share = 0.78 if thing.badge == "disc" else 0.95
    font = _font(thing.font, max(6, round(share * 2 * half)))
    draw.text(
        (middle, middle + drop),
        thing.letter,
        font=font,
        fill=(*ink, 255),
        anchor="mm",
        stroke_width=0 if paper else max(1, round(0.16 * half)),
        stroke_fill=(0, 0, 0, 255),
    )


def smooth(image: Image.Image, blur: float) -> NDArray[np.uint8]:
    """Blur an image with a standard deviation in pixels."""
    return np.asarray(image.filter(ImageFilter.GaussianBlur(blur)) if blur else image)


_HUES = np.array(
    [
        [150, 138, 120],  # hall
        [178, 184, 184],  # kitchen
        [92, 116, 82],  # garden
        [98, 78, 66],  # library
        [96, 98, 104],  # garage
        [142, 122, 128],  # attic
    ],
    dtype=np.float32,
)


def _cells(
    room: int, yy: NDArray[np.float32], xx: NDArray[np.float32], kind: int
) -> NDArray[np.uint8]:
    """Return which of two tones a pixel of a wall has, 0 or 1; ``kind`` is its variant."""
    if room == 0:  # vertical stripes, broad or in pairs
        cells = xx // 14 if kind == 0 else np.where(xx % 28 < 9, 1, 0)
    elif room == 1:  # tiles, square or oblong
        cells = yy // 10 + xx // (10 if kind == 0 else 20)
    elif room == 2:  # waves of grass
        cells = (yy + (4 if kind == 0 else 7) * np.sin(xx / 6)) // 7
    elif room == 3:  # shelves, with or without books
        cells = np.where(yy % 22 < 4, 1, 0)
        if kind:
            cells = np.where((yy % 22 > 10) & (xx % 5 < 2), 1, cells)
    elif room == 4:  # bricks
        bond = (yy // 9 % 2) if kind == 0 else (yy // 9 % 3)
        cells = np.where((yy % 9 < 2) | ((xx + 8 * bond) % 18 < 2), 1, 0)
    else:  # slanted boards, leaning either way
        cells = (xx + yy) // 12 if kind == 0 else (xx - yy) // 12
    return (cells % 2).astype(np.uint8)


def wall(room: str, height: int, width: int, style: Style) -> Picture:
    """Paint the wall of a room, a little different for each seed.

    Args:
        room: One of ``ROOMS``.
        height: Pixels; a wall is larger than the picture, so that a camera may move.
        width: Pixels.
        style: Its ``walls`` seed it; unseen ones are narrower, turned, and of other tones.

    Returns:
        RGB, ``[height, width, 3]`` uint8.
    """
    number = ROOMS.index(room)
    rng = np.random.default_rng([977, number, style.walls])
    unseen = style.unseen_walls
    grain_pixels = max(1, min(height, width) // 28)
    scale = (
        112
        / min(height, width)
        / float(rng.uniform(0.45, 0.6) if unseen else rng.uniform(0.75, 1.5))
    )
    turn = float(rng.uniform(0.2, 0.35) if unseen else rng.uniform(-0.08, 0.08))
    y = np.arange(height, dtype=np.float32)[:, None] * np.float32(scale)
    x = np.arange(width, dtype=np.float32) * np.float32(scale)
    down, across = rng.uniform(50, 90, 2).astype(np.float32)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    yy = y * cos + x * sin + down
    xx = x * cos - y * sin + across
    cells = _cells(number, yy, xx, int(rng.integers(2)))
    first = _HUES[number] * float(rng.uniform(0.85, 1.15)) + rng.normal(0, 9, 3)
    if unseen:
        first = first[[1, 2, 0]]
    tones = np.stack([first, first * float(rng.uniform(0.72, 0.86))])
    rows = -(-height // grain_pixels), -(-width // grain_pixels)
    grain = rng.normal(0, 5, rows).repeat(grain_pixels, 0).repeat(grain_pixels, 1)
    picture = tones.astype(np.float32)[cells]
    picture += grain[:height, :width, None].astype(np.float32)
    left, right, top, bottom = style.light
    sideways = np.linspace(left, right, width, dtype=np.float32)
    gain = sideways * np.linspace(top, bottom, height, dtype=np.float32)[:, None]
    picture *= gain.clip(0.5, 1.3)[..., None]
    return np.clip(picture, 0, 255).astype(np.uint8)
