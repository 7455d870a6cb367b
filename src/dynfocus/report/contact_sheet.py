"""A storyboard as one picture: tiles with their times over a strip of the whole video."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from dynfocus.atomic import check_writable, write_atomically
from dynfocus.report.lettering import (
    FAINT,
    INK,
    PAPER,
    Colour,
    choose_colours,
    choose_ticks,
    font,
    format_time,
    shorten,
)
from dynfocus.report.pages import render
from dynfocus.report.storyboard import Storyboard, StoryboardTile

SUFFIXES = (".png", ".html")
"""Endings that a storyboard file may have."""

_MARGIN = 20
_GAP = 12
_HEADER = 64
_STRIP = 34
_CAPTION = 46
_BAND = 6
_SHEET_WIDTH = 1356
_MINUTE = 60.0
_MAX_LISTED = 2


def check_storyboard_path(path: str | Path) -> None:
    """Fail now if a storyboard could not be written there later.

    Raises:
        ValueError: The ending is neither ``.png`` nor ``.html``.
        UnwritableFileError: The folder is missing or refuses new files.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"a storyboard file must end in {' or '.join(SUFFIXES)}, got {path}"
        )
    check_writable(path, what="the storyboard")


def write_storyboard(path: str | Path, board: Storyboard) -> None:
    """Write a storyboard as a picture or as one self-contained page.

    Args:
        path: The file; its ending, ``.png`` or ``.html``, decides.
        board: What to draw.
    """
    check_storyboard_path(path)
    if Path(path).suffix.lower() == ".html":
        write_atomically(path, _storyboard_page(board))
        return
    buffer = io.BytesIO()
    draw_storyboard(board).save(buffer, format="PNG", optimize=True)
    write_atomically(path, buffer.getvalue())


def draw_storyboard(board: Storyboard) -> Image.Image:
    """Draw a storyboard as a contact sheet."""
    tile_height, tile_width = board.tiles[0].picture.shape[:2]
    inner = _SHEET_WIDTH - 2 * _MARGIN
    num_columns = max(1, (inner + _GAP) // (tile_width + _GAP))
    num_rows = -(-len(board.tiles) // num_columns)
    cell_height = tile_height + _BAND + _CAPTION
    top = _MARGIN + _HEADER + _STRIP + 34
    height = top + num_rows * (cell_height + _GAP) - _GAP + _MARGIN
    sheet = Image.new("RGB", (_SHEET_WIDTH, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    _draw_header(draw, board, inner)
    colours = choose_colours(len(board.tiles))
    _draw_strip(draw, board, colours, inner)
    for number, tile in enumerate(board.tiles):
        row, column = divmod(number, num_columns)
        x = _MARGIN + column * (tile_width + _GAP)
        y = top + row * (cell_height + _GAP)
        sheet.paste(Image.fromarray(tile.picture), (x, y))
        _draw_caption(draw, tile, (x, y), colours[number], board.duration)
    return sheet


def describe_stretches(tile: StoryboardTile, duration: float) -> str:
    """Say in a few words which stretches a tile covers: the longest, in time order."""
    tenths = duration < _MINUTE
    longest = sorted(tile.stretches, key=lambda s: (s[0] - s[1], s[0]))[:_MAX_LISTED]
    named = [
        f"{format_time(start, with_tenths=tenths)}-{format_time(end, with_tenths=tenths)}"
        for start, end in sorted(longest)
    ]
    more = len(tile.stretches) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _summary(board: Storyboard) -> str:
    noun = "event prototype" if len(board.tiles) == 1 else "event prototypes"
    tenths = board.duration < _MINUTE
    return (
        f"{len(board.tiles)} {noun}, {format_time(board.duration, with_tenths=tenths)} "
        f"long, {board.num_frames} frames looked at"
    )


def _draw_header(draw: ImageDraw.ImageDraw, board: Storyboard, inner: int) -> None:
    title = shorten(board.name, font(26, bold=True), inner)
    draw.text((_MARGIN, _MARGIN - 4), title, INK, font(26, bold=True))
    draw.text((_MARGIN, _MARGIN + 32), _summary(board), FAINT, font(16))


def _draw_strip(
    draw: ImageDraw.ImageDraw, board: Storyboard, colours: Sequence[Colour], inner: int
) -> None:
    """Show over time which prototype stands for what; a white dot marks its frame."""
    top = _MARGIN + _HEADER
    per_second = inner / board.duration
    for tile, colour in zip(board.tiles, colours, strict=True):
        for start, end in tile.stretches:
            x0 = _MARGIN + start * per_second
            x1 = _MARGIN + end * per_second
            draw.rectangle((x0, top, x1, top + _STRIP), fill=colour)
    for tile in board.tiles:
        x, y = _MARGIN + tile.pts_seconds * per_second, top + _STRIP / 2
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), (255, 255, 255), INK)
    for seconds in choose_ticks(board.duration):
        x = _MARGIN + seconds * per_second
        draw.line((x, top + _STRIP + 2, x, top + _STRIP + 7), FAINT)
        text = format_time(seconds, with_tenths=board.duration < 5)
        anchor = "la" if seconds == 0 else "ma"
        draw.text((x, top + _STRIP + 9), text, FAINT, font(13), anchor=anchor)


def _draw_caption(
    draw: ImageDraw.ImageDraw,
    tile: StoryboardTile,
    corner: tuple[int, int],
    colour: Colour,
    duration: float,
) -> None:
    x, y = corner
    height, width = tile.picture.shape[:2]
    draw.rectangle((x, y + height, x + width - 1, y + height + _BAND - 1), fill=colour)
    time = format_time(tile.pts_seconds, with_tenths=duration < _MINUTE)
    letters = font(15, bold=True)
    box = draw.textbbox((x + 8, y + 7), time, letters)
    draw.rectangle((box[0] - 5, box[1] - 4, box[2] + 5, box[3] + 4), fill=(0, 0, 0))
    draw.text((x + 8, y + 7), time, (255, 255, 255), letters)
    share = f"{tile.covered_seconds:.1f} s, {tile.covered_seconds / duration:.0%}"
    draw.text((x, y + height + _BAND + 4), share, INK, font(15, bold=True))
    stretches = describe_stretches(tile, duration)
    where = shorten(stretches, font(14), width)
    draw.text((x, y + height + _BAND + 24), where, FAINT, font(14))


def _storyboard_page(board: Storyboard) -> str:
    colours = choose_colours(len(board.tiles))
    tiles = [
        {
            "pts_seconds": tile.pts_seconds,
            "picture": tile.picture,
            "stretches": tile.stretches,
            "covered_seconds": tile.covered_seconds,
            "where": describe_stretches(tile, board.duration),
            "colour": colour,
        }
        for tile, colour in zip(board.tiles, colours, strict=True)
    ]
    return render("storyboard.html", board=board, summary=_summary(board), tiles=tiles)
