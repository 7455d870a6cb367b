"""Sheets of small frames: every frame once, in time order, with its time."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from dynfocus.report import draw_frame_sheets, encode_jpeg


@pytest.mark.parametrize("count", [1, 2, 7, 35, 36, 100])
def test_every_frame_stands_on_a_sheet_with_its_time(count):
    grey = np.linspace(40, 200, count).astype(np.uint8)
    frames = np.broadcast_to(grey[:, None, None, None], (count, 108, 192, 3)).copy()
    times = np.arange(count) * 1.5
    sheets = draw_frame_sheets(frames, times)
    assert [time for sheet in sheets for time in sheet.times] == times.tolist()
    assert len(sheets) == -(-count // 35)
    number = 0
    for sheet in sheets:
        assert max(sheet.picture.shape) <= 1024
        columns = (sheet.picture.shape[1] - 6) // 198
        for place in range(len(sheet.times)):
            row, column = divmod(place, columns)
            y, x = 6 + row * 136, 6 + column * 198
            tile = sheet.picture[y : y + 108, x : x + 192]
            assert (tile == grey[number]).all()
            caption = sheet.picture[y + 108 : y + 130, x : x + 192]
            assert (caption < 100).any()
            number += 1


def test_no_frames_need_no_sheet():
    assert draw_frame_sheets(np.empty((0, 8, 8, 3), np.uint8), np.empty(0)) == []


def test_pictures_become_jpeg_files():
    picture = np.full((24, 40, 3), (200, 30, 30), np.uint8)
    content = encode_jpeg(picture)
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (40, 24), "RGB")
        assert np.abs(np.asarray(image).astype(int) - picture).max() < 6
    assert content == encode_jpeg(picture)
