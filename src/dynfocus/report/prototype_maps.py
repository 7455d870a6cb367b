"""Spatial prototypes drawn over their frame: which patches each of them merged.

Letters: H and W of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dynfocus.report.pages import INK, PAPER, Colour, choose_colours, font

if TYPE_CHECKING:
    from dynfocus.models.dynfocus.merged_patches import PrototypeMap

_LONGER_SIDE = 320
_TINT = 0.45
_LABEL = 12

Pixels = NDArray[np.uint8]
Cells = NDArray[np.int64]


def draw_layer(picture: Pixels, cells: Cells, colours: Sequence[Colour]) -> Pixels:
    """Draw over a frame which patches belong to one spatial prototype.

    Args:
        picture: The frame, ``[H, W, 3]``; it is drawn 320 pixels long.
        cells: The number of the prototype of each patch, on a grid over the frame.
        colours: A colour for each number.

    Returns:
        The frame with tinted patches, lines between prototypes, and their numbers
        from 1.
    """
    base = _enlarge(picture)
    rows, columns = _cell_of_pixels(base.shape[0], base.shape[1], cells.shape)
    owner = cells[rows[:, None], columns]  # [H, W]
    tint = np.array(colours)[owner]
    mixed = (base * (1 - _TINT) + tint * _TINT).round().astype(np.uint8)
    mixed[_borders(owner)] = PAPER
    image = Image.fromarray(mixed)
    draw = ImageDraw.Draw(image)
    for number in np.unique(cells).tolist():
        row, column = _middle(cells == number)
        x = (column + 0.5) * base.shape[1] / cells.shape[1]
        y = (row + 0.5) * base.shape[0] / cells.shape[0]
        _draw_label(draw, (x, y), str(number + 1))
    return np.asarray(image)


@dataclass(frozen=True, kw_only=True)
class LayerPicture:
    """One layer of spatial prototypes, drawn over its frame."""

    picture: Pixels
    """The drawing, ``[H, W, 3]``."""
    entries: list[tuple[int, Colour, int, float]]
    """Number, colour, patches and share of the attention of each prototype."""


@dataclass(frozen=True, kw_only=True)
class MapPictures:
    """What the spatial prototypes of one frame merged, layer by layer."""

    time: float
    """Presentation time of the frame in seconds."""
    picture: Pixels
    """The frame, ``[H, W, 3]``."""
    layers: list[LayerPicture]
    """The layers, from patches on."""

    @classmethod
    def of(cls, found: PrototypeMap) -> MapPictures:
        """Draw the map of a frame."""
        colours = choose_colours(len(found.attention))
        return cls(
            time=found.time,
            picture=_enlarge(found.picture),
            layers=[_draw_entries(found, cells, colours) for cells in found.layers],
        )


def _draw_entries(
    found: PrototypeMap, cells: Cells, colours: Sequence[Colour]
) -> LayerPicture:
    numbers, counts = np.unique(cells, return_counts=True)
    pairs = zip(numbers.tolist(), counts.tolist(), strict=True)
    return LayerPicture(
        picture=draw_layer(found.picture, cells, colours),
        entries=[
            (number + 1, colours[number], count, float(found.attention[number]))
            for number, count in pairs
        ],
    )


def _enlarge(picture: Pixels) -> Pixels:
    height, width = picture.shape[:2]
    scale = _LONGER_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(resized)


def _cell_of_pixels(
    height: int, width: int, grid: tuple[int, ...]
) -> tuple[Cells, Cells]:
    """Return the row of the grid of each line of pixels, and the column of each."""
    rows = np.arange(height) * grid[0] // height
    columns = np.arange(width) * grid[1] // width
    return rows, columns


def _borders(owner: Cells) -> NDArray[np.bool_]:
    """Mark the two pixels at each border between different prototypes."""
    border = np.zeros(owner.shape, dtype=bool)
    down = owner[1:] != owner[:-1]
    right = owner[:, 1:] != owner[:, :-1]
    border[1:] |= down
    border[:-1] |= down
    border[:, 1:] |= right
    border[:, :-1] |= right
    return border


def _middle(member: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the member cell that lies nearest to the mean of all members."""
    places = np.argwhere(member)
    away = np.square(places - places.mean(axis=0)).sum(axis=1)
    row, column = places[away.argmin()].tolist()
    return row, column


def _draw_label(
    draw: ImageDraw.ImageDraw, centre: tuple[float, float], text: str
) -> None:
    letters = font(_LABEL, bold=True)
    left, top, right, bottom = draw.textbbox(centre, text, letters, anchor="mm")
    draw.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=INK)
    draw.text(centre, text, PAPER, letters, anchor="mm")
