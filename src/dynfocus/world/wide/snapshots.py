"""Single pictures of the widened world with dense labels, to teach a vision tower to see.

Letters: ``S`` is the side of the patch grid, so a picture has ``N = S * S`` patches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dynfocus.world.scene import Split
from dynfocus.world.snapshots import IGNORED, MIN_BADGE, MIN_COVER, Snapshot
from dynfocus.world.vocabulary import (
    ANOMALIES,
    COLOURS,
    LETTERS,
    ROOMS,
    SHAPES,
    SIZES,
)
from dynfocus.world.wide.render import Mask, Painter
from dynfocus.world.wide.script import STILL_SECONDS, make_still_scene


def make_wide_snapshot(
    rng: np.random.Generator,
    size: int = 112,
    patch_pixels: int = 14,
    split: Split = "train",
) -> Snapshot:
    """Draw a random picture with zero to four objects and label its patches.

    A picture of any shape is pressed into a square, as a model's processor does; labels
    are those of what a patch then covers.

    Args:
        rng: Source of the picture.
        size: Side of the square in pixels, a multiple of ``patch_pixels``.
        patch_pixels: Side of a patch.
        split: Only ``test`` shows combinations that training never does.

    Returns:
        The picture ``[size, size, 3]`` and its labels ``[N]``. The colour of what flashes
        is ignored, as are a letter of which less than `MIN_BADGE` is seen, and the room
        where only black bars are.
    """
    scene = make_still_scene(rng, split)
    painter = Painter(scene, max(size, 112))
    picture = painter.draw(STILL_SECONDS)
    side = size // patch_pixels
    labels = {
        name: np.zeros((side, side), np.int64)
        for name in ("shape", "colour", "room", "anomaly")
    }
    for name in ("size", "letter"):
        labels[name] = np.full((side, side), IGNORED, np.int64)
    labels["room"][...] = ROOMS.index(scene.rooms[0].name)
    for anomaly in scene.anomalies:
        labels["anomaly"][...] = ANOMALIES.index(anomaly.name) + 1
    for shown, mask, badge, seen in painter.covers(STILL_SECONDS):
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
    total = np.pad(mask.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    rows, columns = (
        np.linspace(0, n, side + 1).round().astype(int) for n in mask.shape
    )
    corners = total[np.ix_(rows, columns)]
    inside = corners[1:, 1:] - corners[:-1, 1:] - corners[1:, :-1] + corners[:-1, :-1]
    area = np.outer(np.diff(rows), np.diff(columns))
    return np.asarray(inside / area)
