"""Single FocusWorld pictures with dense labels, to teach a vision tower to see.

Letters: ``S`` is the side of the patch grid, so a picture has ``N = S * S`` patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynfocus.world.render import Picture, Placed, apply_anomaly, background, paste
from dynfocus.world.scene import LANES, WorldObject
from dynfocus.world.vocabulary import (
    ANOMALIES,
    BADGE_PIXELS,
    BASE_PIXELS,
    COLOURS,
    LETTERS,
    ROOMS,
    SHAPES,
    SIZE_PIXELS,
    SIZES,
    is_held_out,
)

IGNORED = -100
MIN_COVER = 0.25
"""Share of a patch that an object (for letters: its badge) must cover for the patch to
carry its labels."""

MIN_BADGE = 0.75
"""Share of the badge that must be inside the picture for its letter to be asked for."""

_BACKGROUNDS_PER_ROOM = 24


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A picture and what each of its patches shows.

    ``labels`` maps each task to int64 classes ``[N]``: ``shape`` and ``colour`` (0 is
    none), ``size`` and ``letter`` (ignored outside objects), ``room`` and ``anomaly``
    (0 is none).
    """

    picture: Picture
    labels: dict[str, NDArray[np.int64]]


NUM_CLASSES: dict[str, int] = {
    "shape": len(SHAPES) + 1,
    "colour": len(COLOURS) + 1,
    "size": len(SIZES),
    "letter": len(LETTERS),
    "room": len(ROOMS),
    "anomaly": len(ANOMALIES) + 1,
}


def make_snapshot(
    rng: np.random.Generator, patch_pixels: int = 14, *, allow_held_out: bool = False
) -> Snapshot:
    """Draw a random picture with zero to four objects and label its patches.

    A lane may hold two objects here, one more than in a video: more to learn from.
    """
    room = int(rng.integers(len(ROOMS)))
    seed = int(rng.integers(_BACKGROUNDS_PER_ROOM))
    picture = _wall(room, seed).copy()
    side = BASE_PIXELS // patch_pixels
    shift = rng.integers(0, BASE_PIXELS, 2)
    picture = np.roll(picture, shift, (0, 1))
    labels = _blank_labels(side, room)
    for lane in LANES:
        for x in _places(rng):
            y = lane + float(rng.integers(-1, 2))
            thing = _random_object(rng, allow_held_out=allow_held_out)
            placed = Placed(thing=thing, x=x, y=y)
            paste(picture, placed)
            _label(labels, placed, side)
    if rng.random() < 0.2:
        which = int(rng.integers(len(ANOMALIES)))
        apply_anomaly(picture, ANOMALIES[which], rng)
        labels["anomaly"][...] = which + 1
    flat = {name: grid.reshape(-1) for name, grid in labels.items()}
    return Snapshot(picture=picture, labels=flat)


_WALLS: dict[tuple[int, int], Picture] = {}


def _wall(room: int, seed: int) -> Picture:
    key = (room, seed)
    if key not in _WALLS:
        _WALLS[key] = background(ROOMS[room], BASE_PIXELS, 10_000_000 + seed)
    return _WALLS[key]


def _blank_labels(side: int, room: int) -> dict[str, NDArray[np.int64]]:
    labels = {
        name: np.zeros((side, side), np.int64)
        for name in ("shape", "colour", "room", "anomaly")
    }
    for name in ("size", "letter"):
        labels[name] = np.full((side, side), IGNORED, np.int64)
    labels["room"][...] = room
    return labels


def _places(rng: np.random.Generator) -> list[float]:
    """Draw the horizontal centres of the objects in one lane."""
    largest = max(SIZE_PIXELS.values())
    if rng.random() < 0.15:
        return []
    x = float(rng.uniform(-4, BASE_PIXELS + 4))
    if rng.random() < 0.3:
        return [x]
    other = x + (1 if x < BASE_PIXELS / 2 else -1) * float(rng.uniform(largest, 66))
    return [x, other]


def _random_object(rng: np.random.Generator, *, allow_held_out: bool) -> WorldObject:
    while True:
        shape = SHAPES[int(rng.integers(len(SHAPES)))]
        colour = COLOURS[int(rng.integers(len(COLOURS)))]
        letter = LETTERS[int(rng.integers(len(LETTERS)))]
        if allow_held_out or not is_held_out(shape, colour, letter):
            break
    size = SIZES[int(rng.integers(len(SIZES)))]
    return WorldObject(shape=shape, colour=colour, size=size, letter=letter)


def _label(labels: dict[str, NDArray[np.int64]], placed: Placed, side: int) -> None:
    """Write the labels of one object into the patches that it covers."""
    thing = placed.thing
    canvas = np.zeros((BASE_PIXELS, BASE_PIXELS, 3), np.uint8)
    shape_cover = _cover(_stamp(canvas, placed), side)
    covered = shape_cover >= MIN_COVER
    labels["shape"][covered] = SHAPES.index(thing.shape) + 1
    labels["colour"][covered] = COLOURS.index(thing.colour) + 1
    labels["size"][covered] = SIZES.index(thing.size)
    half = BADGE_PIXELS / 2
    x0, x1 = max(placed.x - half, 0), min(placed.x + half, BASE_PIXELS)
    if x1 - x0 >= MIN_BADGE * BADGE_PIXELS:
        badge = np.zeros((BASE_PIXELS, BASE_PIXELS), bool)
        y0 = round(placed.y - half)
        badge[y0 : y0 + BADGE_PIXELS, round(x0) : round(x1)] = True
        labels["letter"][_cover(badge, side) >= MIN_COVER] = LETTERS.index(thing.letter)


def _stamp(canvas: Picture, placed: Placed) -> NDArray[np.bool_]:
    """Return where the object paints, ``[H, W]``; ``canvas`` must be black."""
    paste(canvas, placed)
    return canvas.max(-1) > 0


def _cover(mask: NDArray[np.bool_], side: int) -> NDArray[np.float64]:
    """Return the share of each patch that a mask ``[H, W]`` covers, ``[S, S]``."""
    pixels = BASE_PIXELS // side
    return mask.reshape(side, pixels, side, pixels).mean((1, 3))


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
