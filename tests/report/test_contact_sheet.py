from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dynfocus.errors import UnwritableFileError
from dynfocus.report import (
    Storyboard,
    StoryboardTile,
    check_storyboard_path,
    draw_storyboard,
    make_storyboard,
    write_storyboard,
)
from dynfocus.report.pages import choose_ticks, font, format_time, wrap
from dynfocus.report.storyboard import describe_stretches


def board_of(count: int, shape: tuple[int, int] = (60, 320)) -> Storyboard:
    tiles = tuple(
        StoryboardTile(
            pts_seconds=number + 0.5,
            picture=np.full((*shape, 3), 20 * number, np.uint8),
            stretches=((float(number), number + 1.0),),
            score=1.0,
        )
        for number in range(count)
    )
    return Storyboard(name="<a> & b.mp4", duration=count, num_frames=60, tiles=tiles)


@pytest.mark.parametrize(
    ("seconds", "with_tenths", "text"),
    [
        (0, False, "00:00"),
        (7.96, False, "00:07"),
        (7.96, True, "00:07.9"),
        (44.9999999, True, "00:45.0"),
        (61, False, "01:01"),
        (3599.9, False, "59:59"),
        (3725, False, "1:02:05"),
    ],
)
def test_times_are_written_as_people_do(seconds, with_tenths, text):
    assert format_time(seconds, with_tenths=with_tenths) == text


@pytest.mark.parametrize("duration", [0.04, 2.4, 10, 59, 140, 3600, 10000, 200000])
def test_ticks_are_few_and_inside(duration):
    ticks = choose_ticks(duration)
    assert ticks[0] == 0
    assert len(ticks) <= 9
    assert ticks[-1] < duration


@pytest.mark.parametrize(
    ("count", "shape", "rows"),
    [(1, (60, 320), 1), (4, (60, 320), 1), (5, (60, 320), 2), (7, (90, 160), 1)],
)
def test_the_sheet_has_room_for_every_tile(count, shape, rows):
    board = board_of(count, shape)
    sheet = np.asarray(draw_storyboard(board))
    one_row = draw_storyboard(board_of(1, shape)).height
    row = shape[0] + 6 + 46 + 12
    assert sheet.shape == (one_row + (rows - 1) * row, 1356, 3)


@pytest.mark.parametrize("shape", [(8, 320), (34, 320), (320, 180), (320, 8)])
def test_captions_are_whole_and_not_printed_over_each_other(shape):
    board = board_of(10, shape)
    places = ((3.0, 4.0), (15000.0, 15001.0), (16000.0, 16002.0))
    tiles = [replace(tile, stretches=places) for tile in board.tiles]
    sheets = [
        np.asarray(draw_storyboard(replace(board, duration=20000, tiles=tuple(some))))
        for some in (tiles[:1], tiles)
    ]
    top, height = 152, sheets[0].shape[0] - 20
    width = max(160, shape[1])
    alone, first = (sheet[top:height, 20 : 20 + width] for sheet in sheets)
    np.testing.assert_array_equal(alone, first)
    gap = sheets[1][top + 60 : height, 20 + width : 32 + width]
    assert (gap == (250, 250, 248)).all()
    lines = wrap(describe_stretches(tiles[0], 20000), font(14), width)
    assert " ".join(lines) == describe_stretches(tiles[0], 20000)
    assert all(font(14).getlength(line) <= width for line in lines)


def test_the_pictures_are_on_the_sheet(scenes_video):
    board = make_storyboard(scenes_video)
    sheet = np.asarray(draw_storyboard(board)).astype(int)
    height, width = board.tiles[0].picture.shape[:2]
    for number, tile in enumerate(board.tiles):
        x = 20 + number * (width + 12)
        y = sheet.shape[0] - 20 - 46 - 6 - height
        lower = sheet[y + height // 2 : y + height, x : x + width]
        np.testing.assert_array_equal(lower, tile.picture[height // 2 :])


def test_stretches_are_named_longest_first_in_time_order():
    tile = StoryboardTile(
        pts_seconds=1.0,
        picture=np.zeros((8, 8, 3), np.uint8),
        stretches=((0.0, 2.0), (30.0, 30.5), (70.0, 75.0), (90.0, 91.0)),
        score=1.0,
    )
    assert describe_stretches(tile, 100) == "00:00-00:02, 01:10-01:15 and 2 more"
    assert tile.covered_seconds == 8.5


@pytest.mark.parametrize("name", ["s.png", "S.PNG"])
def test_png_can_be_opened(tmp_path, name):
    write_storyboard(tmp_path / name, board_of(3))
    with Image.open(tmp_path / name) as picture:
        assert picture.format == "PNG"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_page_needs_nothing_else(tmp_path):
    write_storyboard(tmp_path / "s.html", board_of(3))
    page = (tmp_path / "s.html").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/jpeg;base64,') == 3
    assert "&lt;a&gt; &amp; b.mp4" in page
    assert not re.search(r"https?:|<script|<link|@import", page)


@pytest.mark.parametrize("name", ["s.jpg", "s"])
def test_other_endings_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in .png or .html, got .*" + name):
        check_storyboard_path(tmp_path / name)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(UnwritableFileError, match="the storyboard cannot be written"):
        write_storyboard(tmp_path / "none" / "s.png", board_of(1))
