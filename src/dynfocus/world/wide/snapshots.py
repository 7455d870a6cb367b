"""Single pictures of the widened world with dense labels, to teach a vision tower to see.

Letters: ``S`` is the side of the patch grid, so a picture has ``N = S * S`` patches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dynfocus.world.render import Picture
from dynfocus.world.scene import Split
from dynfocus.world.vocabulary import (
    ANOMALIES,
    COLOURS,
    LETTERS,
    ROOMS,
    SHAPES,
    SIZES,
)
from dynfocus.world.wide.render import Mask, Painter
from dynfocus.world.wide.script import make_album, page_seconds

IGNORED = -100
MIN_COVER = 0.25
"""Share of a patch that an object (for letters: its badge) must cover for the patch to
carry its labels."""

MIN_BADGE = 0.75
"""Share of the badge that must be inside the picture for its letter to be asked for."""


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


def make_wide_snapshots(
    rng: np.random.Generator,
    num_pictures: int,
    size: int = 112,
    patch_pixels: int = 14,
    split: Split = "train",
) -> Iterator[Snapshot]:
    """Draw pictures of one scene, objects elsewhere in each, and label their patches.

    A picture of any shape is pressed into a square, as a model's processor does; labels
    are those of what a patch then covers.

    Args:
        rng: Source of the pictures.
        num_pictures: How many; walls and objects are drawn once for all.
        size: Side of the square in pixels, a multiple of ``patch_pixels``.
        patch_pixels: Side of a patch.
        split: Only ``test`` shows combinations that training never does.

    Yields:
        A picture ``[size, size, 3]`` and its labels ``[N]``. The colour of what flashes
        is ignored, as are a letter of which less than `MIN_BADGE` is seen, and the room
        where only black bars are.
    """
    painter = Painter(make_album(rng, split, num_pictures), max(size, 112))
    for page in range(num_pictures):
        yield _snapshot(painter, page_seconds(page), size, size // patch_pixels)


def _snapshot(painter: Painter, seconds: float, size: int, side: int) -> Snapshot:
    picture = painter.draw(seconds)
    labels = {
        name: np.zeros((side, side), np.int64)
        for name in ("shape", "colour", "room", "anomaly")
    }
    for name in ("size", "letter"):
        labels[name] = np.full((side, side), IGNORED, np.int64)
    labels["room"][...] = ROOMS.index(painter.scene.rooms[0].name)
    for anomaly in painter.scene.anomalies:
        if anomaly.start <= seconds < anomaly.end:
            labels["anomaly"][...] = ANOMALIES.index(anomaly.name) + 1
    for shown, mask, badge, seen in painter.covers(seconds):
        covered = _cover(mask, side) >= MIN_COVER
        labels["shape"][covered] = SHAPES.index(shown.thing.shape) + 1
        labels["colour"][covered] = (
            IGNORED if shown.lit else COLOURS.index(shown.thing.colour) + 1
        )
        labels["size"][covered] = SIZES.index(shown.thing.size)
        if seen >= MIN_BADGE:
            read = _cover(badge, side) >= MIN_COVER
            labels["letter"][read] = LETTERS.index(shown.thing.letter)
    rows, columns = painter.bars
    if rows or columns:
        filmed = np.zeros(picture.shape[:2], bool)
        filmed[rows : rows + painter.height, columns : columns + painter.width] = True
        labels["room"][_cover(filmed, side) < MIN_COVER] = IGNORED
    square = Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR)
    flat = {name: grid.reshape(-1) for name, grid in labels.items()}
    return Snapshot(picture=np.array(square), labels=flat)


def _cover(mask: Mask, side: int) -> NDArray[np.float64]:
    """Return the share of each cell of a grid that a mask ``[H, W]`` covers, ``[S, S]``."""
    rows, columns = (
        np.linspace(0, n, side + 1).round().astype(int) for n in mask.shape
    )
    strips = np.add.reduceat(mask, rows[:-1], axis=0, dtype=np.int32)
    inside = np.add.reduceat(strips, columns[:-1], axis=1)
    return np.asarray(inside / np.outer(np.diff(rows), np.diff(columns)))
