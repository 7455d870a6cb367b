from __future__ import annotations

import numpy as np
import pytest

from dynfocus.models import PrototypeMap
from dynfocus.report.answers import MapPictures, draw_layer
from dynfocus.report.pages import choose_colours

CELLS = np.array([[0, 0, 1, 1], [0, 2, 2, 1], [0, 2, 2, 1], [0, 0, 3, 3]])
COLOURS = choose_colours(4)


def map_of(*layers: np.ndarray, height: int = 64, width: int = 64) -> PrototypeMap:
    count = 1 + max(int(layer.max()) for layer in layers)
    return PrototypeMap(
        time=3.0,
        picture=np.full((height, width, 3), 200, np.uint8),
        layers=layers,
        attention=np.arange(1, count + 1) / (count * (count + 1) / 2),
    )


@pytest.mark.parametrize("size", [(64, 64), (90, 160), (480, 270)])
def test_each_patch_has_the_colour_of_its_prototype(size):
    picture = np.full((*size, 3), 100, np.uint8)
    drawn = draw_layer(picture, CELLS, COLOURS)
    assert max(drawn.shape[:2]) == 320
    height, width = (side / 4 for side in drawn.shape[:2])
    for row in range(4):
        for column in range(4):
            y, x = round((row + 0.15) * height), round((column + 0.15) * width)
            wanted = 100 * 0.55 + np.array(COLOURS[CELLS[row, column]]) * 0.45
            assert np.abs(drawn[y, x] - wanted).max() <= 1, (row, column)


def test_lines_run_between_prototypes_and_nowhere_else():
    drawn = draw_layer(np.zeros((320, 320, 3), np.uint8), CELLS, COLOURS)
    paper = (drawn == 250).any(2)
    assert paper[20, 159]  # between 1 and 2
    assert paper[20, 160]
    assert not paper[15, 80]  # between two patches of 1
    assert not paper[230, 20]


def test_the_label_lies_on_a_patch_of_its_prototype():
    ring = np.zeros((3, 3), np.int64)
    ring[1, 1] = 1  # the mean of the others lies on it
    drawn = draw_layer(np.full((300, 300, 3), 255, np.uint8), ring, COLOURS)
    dark = (drawn == (28, 30, 34)).all(2)
    rows, columns = np.nonzero(dark)
    cells = set(zip(rows * 3 // 320, columns * 3 // 320, strict=True))
    assert (1, 1) in cells
    assert len(cells) == 2


def test_each_layer_lists_its_prototypes_with_patches_and_shares():
    second = np.where(CELLS < 2, 4, 5)
    drawn = MapPictures.of(map_of(CELLS, second))
    assert [len(layer.entries) for layer in drawn.layers] == [4, 2]
    first, last = drawn.layers[0].entries[0], drawn.layers[1].entries[1]
    assert (first[0], first[2], round(first[3], 2)) == (1, 6, 0.05)
    assert (last[0], last[2], round(last[3], 2)) == (6, 6, 0.29)
    assert {layer.picture.shape for layer in drawn.layers} == {(320, 320, 3)}
