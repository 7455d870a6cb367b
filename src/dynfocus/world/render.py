"""Rendering: a scene and a time become a picture, thousands a second on one core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dynfocus.world.scene import LANES, Scene, WorldObject
from dynfocus.world.vocabulary import (
    BADGE_PIXELS,
    BASE_PIXELS,
    COLOUR_RGB,
    ROOMS,
)

Picture = NDArray[np.uint8]
SUPERSAMPLING = 4


@dataclass(frozen=True, kw_only=True)
class Placed:
    """An object at a place: centre ``x`` and ``y`` in pixels of a ``BASE_PIXELS`` frame."""

    thing: WorldObject
    x: float
    y: float


def polygon(shape: str, half: float) -> list[tuple[float, float]]:
    """Return the corners of a shape about the origin; a circle has 48 of them."""
    if shape == "square":
        s = 0.92 * half
        return [(-s, -s), (s, -s), (s, s), (-s, s)]
    if shape == "diamond":
        return [(0, -half), (half, 0), (0, half), (-half, 0)]
    if shape == "triangle":
        return [(0, -half), (half, 0.9 * half), (-half, 0.9 * half)]
    if shape == "cross":
        a, b = half, 0.52 * half
        quarter = [(b, -a), (b, -b), (a, -b), (a, b), (b, b), (b, a)]
        return quarter + [(-x, -y) for x, y in quarter]
    num_corners = 48 if shape == "circle" else 10
    corners = []
    for i in range(num_corners):
        radius = 0.5 * half if shape == "star" and i % 2 else half
        angle = 2 * np.pi * i / num_corners - np.pi / 2
        corners.append((radius * float(np.cos(angle)), radius * float(np.sin(angle))))
    return corners


@lru_cache(maxsize=64)
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    import matplotlib as mpl  # its wheel carries DejaVu, so every machine draws alike

    path = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    return ImageFont.truetype(str(path), pixels)


@lru_cache(maxsize=8192)
def sprite(thing: WorldObject, scale: int) -> NDArray[np.uint8]:
    """Draw one object, antialiased; returns ``[h, w, 4]`` RGBA."""
    side = (thing.pixels + 2) * scale
    big = side * SUPERSAMPLING
    unit = scale * SUPERSAMPLING
    image = Image.new("RGBA", (big, big), (*COLOUR_RGB[thing.colour], 0))
    draw = ImageDraw.Draw(image)
    centre = big / 2
    corners = [
        (centre + x * unit, centre + y * unit)
        for x, y in polygon(thing.shape, thing.pixels / 2)
    ]
    draw.polygon(corners, fill=(*COLOUR_RGB[thing.colour], 255))
    drop = 2 * unit if thing.shape == "triangle" else 0  # towards its wide side
    half = BADGE_PIXELS / 2 * unit
    draw.rounded_rectangle(
        (centre - half, centre - half + drop, centre + half, centre + half + drop),
        radius=4 * unit,
        fill=(250, 250, 250, 255),
    )
    draw.text(
        (centre, centre + drop),
        thing.letter,
        font=_font(18 * unit),
        fill=(10, 10, 10, 255),
        anchor="mm",
    )
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


_ROOM_TONES = np.array(
    [
        [[150, 138, 120], [128, 116, 100]],  # hall
        [[186, 190, 188], [150, 158, 160]],  # kitchen
        [[92, 116, 82], [74, 98, 66]],  # garden
        [[98, 78, 66], [80, 62, 52]],  # library
        [[96, 98, 104], [78, 80, 88]],  # garage
        [[142, 122, 128], [116, 98, 106]],  # attic
    ],
    dtype=np.float32,
)


def _pattern(room: int, yy: NDArray[np.float32], xx: NDArray[np.float32]) -> Picture:
    """Return which of the room's two tones a pixel has, as 0 and 1."""
    if room == 0:  # broad vertical stripes
        cells = xx // 14
    elif room == 1:  # tiles
        cells = yy // 10 + xx // 10
    elif room == 2:  # waves of grass
        cells = (yy + 4 * np.sin(xx / 6)) // 7
    elif room == 3:  # shelves
        cells = np.where(yy % 22 < 4, 1, 0)
    elif room == 4:  # bricks
        cells = np.where((yy % 9 < 2) | ((xx + 8 * (yy // 9 % 2)) % 18 < 2), 1, 0)
    else:  # slanted boards
        cells = (xx + yy) // 12
    return (cells % 2).astype(np.uint8)


def background(room: str, size: int, seed: int) -> Picture:
    """Paint the textured wall of a room, a little different for each seed.

    Returns:
        RGB picture, shape ``[size, size, 3]``.
    """
    number = ROOMS.index(room)
    rng = np.random.default_rng([977, number, seed])
    shift = rng.uniform(0, 40, 2)
    tint = rng.normal(0, 7, 3)
    grain = rng.normal(0, 5, (BASE_PIXELS // 4, BASE_PIXELS // 4, 1))
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (BASE_PIXELS / size)
    yy, xx = np.meshgrid(axis + shift[0], axis + shift[1], indexing="ij")
    picture = _ROOM_TONES[number][_pattern(number, yy, xx)] + tint
    where = (axis / 4).astype(int)
    picture = picture + grain[where][:, where]
    return np.clip(picture, 0, 255).astype(np.uint8)


def paste(picture: Picture, placed: Placed) -> None:
    """Blend one object into ``picture`` ``[size, size, 3]`` in place, cut at the edges."""
    size = picture.shape[0]
    scale = size // BASE_PIXELS
    image = sprite(placed.thing, scale)
    side = image.shape[0]
    left = round(placed.x * scale - side / 2)
    top = round(placed.y * scale - side / 2)
    x0, x1 = max(left, 0), min(left + side, size)
    y0, y1 = max(top, 0), min(top + side, size)
    if x0 >= x1 or y0 >= y1:
        return
    part = image[y0 - top : y1 - top, x0 - left : x1 - left]
    alpha = part[..., 3:].astype(np.uint16)
    region = picture[y0:y1, x0:x1]
    mixed = part[..., :3] * alpha + region * (255 - alpha) + 127
    region[...] = (mixed // 255).astype(np.uint8)


def apply_anomaly(picture: Picture, name: str, rng: np.random.Generator) -> None:
    """Change ``picture`` in place as the anomaly ``name`` does."""
    if name == "the lights go out":
        picture[...] = picture // 3
    elif name == "the picture flashes":
        picture[...] = 255 - (255 - picture) // 3
    else:
        size = picture.shape[0]
        scale = size // BASE_PIXELS
        for y, x in rng.integers(0, size - 2 * scale, (60, 2)):
            picture[y : y + 2 * scale, x : x + 2 * scale] = 245


def placed_objects(scene: Scene, seconds: float) -> list[Placed]:
    """Return the objects that touch the picture at a time, upper lane first."""
    placed = []
    for visit in scene.visits:
        if visit.start - 1.0 <= seconds <= visit.end + 1.0:
            thing = scene.cast[visit.object_index]
            x = visit.x_at(seconds)
            if -thing.pixels / 2 < x < BASE_PIXELS + thing.pixels / 2:
                placed.append(Placed(thing=thing, x=x, y=LANES[visit.lane]))
    return sorted(placed, key=lambda p: p.y)


def render(
    scene: Scene, times: Sequence[float], size: int = BASE_PIXELS
) -> Iterator[Picture]:
    """Draw a scene at the given times, one picture after the other.

    Args:
        scene: The script.
        times: Seconds from the start, in any order.
        size: Width and height of a picture, a multiple of 112.

    Yields:
        RGB pictures, shape ``[size, size, 3]``, uint8; each may be kept.
    """
    check_size(size)
    walls = {r.name: background(r.name, size, scene.seed) for r in scene.rooms}
    for seconds in times:
        room = next((r for r in scene.rooms if r.start <= seconds < r.end), None)
        picture = walls[(room or scene.rooms[-1]).name].copy()
        for placed in placed_objects(scene, seconds):
            paste(picture, placed)
        for anomaly in scene.anomalies:
            if anomaly.start <= seconds < anomaly.end:
                rng = np.random.default_rng([scene.seed, int(seconds * 8)])
                apply_anomaly(picture, anomaly.name, rng)
        yield picture


def check_size(size: int) -> None:
    """Refuse a picture size that is not a multiple of 112."""
    if size < BASE_PIXELS or size % BASE_PIXELS:
        raise ValueError(
            f"size must be a multiple of {BASE_PIXELS}, got {size}: try 112, 224 or 448"
        )


def disturb(pictures: Picture, rng: np.random.Generator) -> Picture:
    """Blur, tint and add noise a little, as a video codec and a resize would.

    Args:
        pictures: RGB, shape ``[..., H, W, 3]``; all are treated alike.
        rng: Source of the strength and of the noise.

    Returns:
        New pictures of the same shape, uint8.
    """
    values = pictures.astype(np.float32)
    if rng.random() < 0.4:
        weight = float(rng.uniform(0, 0.25))
        for axis in (-3, -2):
            near = np.roll(values, 1, axis) + np.roll(values, -1, axis)
            values = (1 - 2 * weight) * values + weight * near
    if rng.random() < 0.5:
        grey = values.mean(-1, keepdims=True)
        chroma = values - grey
        small = chroma[..., ::2, ::2, :] + chroma[..., 1::2, ::2, :]
        small = (small + chroma[..., ::2, 1::2, :] + chroma[..., 1::2, 1::2, :]) / 4
        values = grey + small.repeat(2, -3).repeat(2, -2)
    values *= float(rng.uniform(0.93, 1.07))
    values += rng.normal(0, float(rng.uniform(0, 2)), (values.shape[-3], 1, 3))
    noise = rng.integers(-8, 9, values.shape[-3:], dtype=np.int8)
    values += noise * float(rng.uniform(0, 0.7))
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)
