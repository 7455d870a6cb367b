"""Spatial prototypes drawn over their frame: which patches each of them merged.

Letters: H and W of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dynfocus.report.clock import format_time
from dynfocus.report.lettering import INK, PAPER, Colour, choose_colours, font
from dynfocus.report.pages import data_uri

if TYPE_CHECKING:
    from dynfocus.models.prototype_maps import PrototypeMap

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


def prototype_section(maps: Sequence[PrototypeMap], duration: float) -> str:
    """Write the part of a page that shows what the spatial prototypes merged.

    Args:
        maps: The frames to show.
        duration: Length of the video in seconds.

    Returns:
        HTML; nothing where there is no map.
    """
    if not maps:
        return ""
    return (
        "<h3>What the spatial prototypes merged</h3><p class=faint>A Cone holds one "
        "token for each spatial prototype. Those of layer 1 merge patches of the frame "
        "that look alike, those of a later layer merge the ones before. Shares tell how "
        "strongly the question looks at each (Eq. 11).</p>"
        + "".join(_figure_row(found, duration) for found in maps)
    )


def _figure_row(found: PrototypeMap, duration: float) -> str:
    colours = choose_colours(len(found.attention))
    time = format_time(found.time, with_tenths=duration < 60)
    figures = [_figure(_enlarge(found.picture), f"Frame at {time}", f"Cone at {time}")]
    for layer, cells in enumerate(found.layers, 1):
        drawn = draw_layer(found.picture, cells, colours)
        caption = f"Layer {layer}, {len(np.unique(cells))} prototypes"
        alt = f"layer {layer} of the frame at {time}"
        figures.append(_figure(drawn, alt, caption, _legend(found, cells, colours)))
    return f"<div class=maps>{''.join(figures)}</div>"


def _figure(picture: Pixels, alt: str, caption: str, more: str = "") -> str:
    return (
        f'<figure><img src="{data_uri(picture)}" alt="{alt}">'
        f"<figcaption>{caption}</figcaption>{more}</figure>"
    )


def _legend(found: PrototypeMap, cells: Cells, colours: Sequence[Colour]) -> str:
    numbers, counts = np.unique(cells, return_counts=True)
    entries = "".join(
        f'<span><i style="background:rgb{colours[number]}"></i>{number + 1}: '
        f"{count} {'patch' if count == 1 else 'patches'}, "
        f"{found.attention[number]:.0%}</span>"
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
    )
    return f"<div class=legend>{entries}</div>"


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
