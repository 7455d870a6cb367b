"""The event prototypes of any video, found without weights and without a question.

T-DPC (Eq. 1 and 4 of the paper) over cheap image features: the frames at density peaks
are the prototypes, every other frame belongs to the nearest of them. A storyboard shows
them as tiles with their times over a strip of the whole video.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dynfocus.atomic import check_writable, write_atomically
from dynfocus.methods.frame_selection import Progress, read_overview
from dynfocus.methods.image_features import LOOK_PIXELS, fit_size, image_features
from dynfocus.methods.selectors.prototypes import find_events, stretches_of
from dynfocus.report.pages import (
    FAINT,
    INK,
    PAPER,
    Colour,
    choose_colours,
    choose_ticks,
    describe_length,
    font,
    format_time,
    render,
    shorten,
    wrap,
)
from dynfocus.text import plural
from dynfocus.video import VideoName, VideoReader

SUFFIXES = (".png", ".html")
"""Endings that a storyboard file may have."""

_MARGIN = 20
_GAP = 12
_HEADER = 64
_STRIP = 34
_SHARE = 28
_LINE = 18
_BAND = 6
_SHEET_WIDTH = 1356
_LEAST_CELL = (34, 160)  # for the time on a picture, and for a stretch below it
_MINUTE = 60.0
_MAX_LISTED = 2


@dataclass(frozen=True, kw_only=True)
class StoryboardTile:
    """One event prototype and the part of the video that it stands for."""

    pts_seconds: float
    """When the prototype frame is shown."""
    picture: NDArray[np.uint8]
    """The prototype frame, ``[H, W, 3]``."""
    stretches: tuple[tuple[float, float], ...]
    """Half-open intervals in seconds that the prototype covers, in time order."""
    score: float
    """Density times distance: how much the frame stands out."""

    @property
    def covered_seconds(self) -> float:
        """Length of all stretches together."""
        return sum(end - start for start, end in self.stretches)


@dataclass(frozen=True, kw_only=True)
class Storyboard:
    """The event prototypes of a video, in time order."""

    name: str
    """File name of the video."""
    duration: float
    """Seconds."""
    num_frames: int
    """How many frames were looked at."""
    tiles: tuple[StoryboardTile, ...]
    start: float = 0.0
    """Where the part that was looked at begins, in seconds."""
    end: float | None = None
    """Where it ends; None for the end of the video."""
    stream: int = 0
    """Number of the video stream."""

    @property
    def interval(self) -> tuple[float, float]:
        """Where the part that was looked at begins and ends, in seconds."""
        return self.start, self.duration if self.end is None else self.end

    @property
    def seconds(self) -> float:
        """Length of the part that was looked at."""
        return self.interval[1] - self.interval[0]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, without the pictures."""
        return {
            "video": self.name,
            "start": round(self.start, 3),
            "end": round(self.interval[1], 3),
            "stream": self.stream,
            "duration": round(self.duration, 3),
            "num_frames": self.num_frames,
            "prototypes": [
                {
                    "time": round(tile.pts_seconds, 3),
                    "covered_seconds": round(tile.covered_seconds, 3),
                    "stretches": [
                        [round(start, 3), round(end, 3)]
                        for start, end in tile.stretches
                    ],
                    "score": round(tile.score, 4),
                }
                for tile in self.tiles
            ],
        }


def make_storyboard(
    video: VideoName | VideoReader,
    *,
    num_prototypes: int | None = None,
    fps: float | None = None,
    tile_pixels: int = 320,
    progress: Progress | None = None,
) -> Storyboard:
    """Find the event prototypes of a video.

    Args:
        video: Any video file, its address, or what reads it.
        num_prototypes: How many; by default as many as stand out, 12 at most for up to
            three minutes and 30 at most for longer videos.
        fps: Frames looked at in a second; by default 2, but 90 to 300 frames in all.
        tile_pixels: Longer side of the pictures in the result.
        progress: Called with frames read and frames in all.

    Returns:
        The prototypes with the stretches that they cover.

    Raises:
        ValueError: There are fewer frames than prototypes wanted.
    """
    reader = video if isinstance(video, VideoReader) else VideoReader(video)
    seconds = reader.end - reader.start
    frames, times = read_overview(
        reader, fit_size(reader.size, LOOK_PIXELS), fps=fps, progress=progress
    )
    if num_prototypes is not None and not 1 <= num_prototypes <= len(times):
        raise ValueError(
            f"num_prototypes must be from 1 to the {plural(len(times), 'frame')} looked at, got "
            f"{num_prototypes}; ask for fewer prototypes or look at more frames (fps)"
        )
    features = torch.from_numpy(image_features(frames))
    found = find_events(features, num_prototypes, seconds)
    centers = found.centers[0].numpy()
    size = fit_size(reader.size, tile_pixels)
    shown = reader.sample(times=times[centers], size=size)
    pictures = dict(zip(shown.times.tolist(), shown.frames, strict=True))
    stretches = stretches_of(found.assignment[0].numpy(), times, reader.end)
    tiles = tuple(
        StoryboardTile(
            pts_seconds=float(times[center]),
            picture=pictures.get(float(times[center]), _enlarged(frames[center], size)),
            stretches=stretches[number],
            score=float(found.score[0, center]),
        )
        for number, center in enumerate(centers)
    )
    return Storyboard(
        name=reader.path.name,
        duration=float(reader.duration),
        start=reader.start,
        end=reader.end,
        stream=reader.timeline.stream_index,
        num_frames=len(times),
        tiles=tiles,
    )


def _enlarged(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Enlarge a frame: of a damaged file, the second time it may not be decoded."""
    return np.asarray(Image.fromarray(frame).resize(size[::-1]))


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
    tile_height, tile_width = np.maximum(board.tiles[0].picture.shape[:2], _LEAST_CELL)
    inner = _SHEET_WIDTH - 2 * _MARGIN
    num_columns = max(1, (inner + _GAP) // (tile_width + _GAP))
    num_rows = -(-len(board.tiles) // num_columns)
    where = [
        wrap(describe_stretches(tile, board.seconds), font(14), tile_width)
        for tile in board.tiles
    ]
    cell_height = tile_height + _BAND + _SHARE + _LINE * max(map(len, where))
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
        box = (x, y, x + tile_width, y + tile_height)
        _draw_caption(draw, tile, box, colours[number], board.seconds, where[number])
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
    return (
        f"{plural(len(board.tiles), 'event prototype')}, "
        f"{describe_length(board.interval, board.duration)}, "
        f"{plural(board.num_frames, 'frame')} looked at"
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
    left, right = board.interval
    per_second = inner / board.seconds
    for tile, colour in zip(board.tiles, colours, strict=True):
        for start, end in tile.stretches:
            x0 = _MARGIN + (start - left) * per_second
            x1 = _MARGIN + (end - left) * per_second
            draw.rectangle((x0, top, x1, top + _STRIP), fill=colour)
    for tile in board.tiles:
        x = _MARGIN + (tile.pts_seconds - left) * per_second
        y = top + _STRIP / 2
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), (255, 255, 255), INK)
    for seconds in choose_ticks(right, left):
        x = _MARGIN + (seconds - left) * per_second
        draw.line((x, top + _STRIP + 2, x, top + _STRIP + 7), FAINT)
        text = format_time(seconds, with_tenths=board.seconds < 5)
        anchor = "la" if seconds == left else "ma"
        draw.text((x, top + _STRIP + 9), text, FAINT, font(13), anchor=anchor)


def _draw_caption(
    draw: ImageDraw.ImageDraw,
    tile: StoryboardTile,
    box: tuple[int, int, int, int],
    colour: Colour,
    duration: float,
    where: Sequence[str],
) -> None:
    x, y, right, low = box
    draw.rectangle((x, low, right - 1, low + _BAND - 1), fill=colour)
    time = format_time(tile.pts_seconds, with_tenths=duration < _MINUTE)
    letters = font(15, bold=True)
    a, b, c, d = draw.textbbox((x + 8, y + 7), time, letters)
    draw.rectangle((a - 5, b - 4, c + 5, d + 4), fill=(0, 0, 0))
    draw.text((x + 8, y + 7), time, (255, 255, 255), letters)
    share = f"{tile.covered_seconds:.1f} s, {tile.covered_seconds / duration:.0%}"
    draw.text((x, low + _BAND + 4), share, INK, font(15, bold=True))
    for number, line in enumerate(where):
        line_top = low + _BAND + 24 + _LINE * number
        draw.text((x, line_top), line, FAINT, font(14))


def _storyboard_page(board: Storyboard) -> str:
    colours = choose_colours(len(board.tiles))
    tiles = [
        {
            "pts_seconds": tile.pts_seconds,
            "picture": tile.picture,
            "stretches": tile.stretches,
            "covered_seconds": tile.covered_seconds,
            "where": describe_stretches(tile, board.seconds),
            "colour": colour,
        }
        for tile, colour in zip(board.tiles, colours, strict=True)
    ]
    return render("storyboard.html", board=board, summary=_summary(board), tiles=tiles)
