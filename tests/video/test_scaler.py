import numpy as np
import pytest

from dynfocus.video.scaler import Orientation, read_orientation


class Frame:
    def __init__(self, a, b, c, d):
        matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 14], dtype=np.int32) * 65536
        self.side_data = {"DISPLAYMATRIX": matrix.tobytes()}


PICTURE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.mark.parametrize("entries", [
    (1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0),
    (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0),
])  # fmt: skip
def test_each_point_lands_where_the_matrix_sends_it(entries):
    a, b, c, d = entries
    height, width = PICTURE.shape[:2]
    places = {}
    for y in range(height):
        for x in range(width):
            places[a * x + c * y, b * x + d * y] = PICTURE[y, x]
    left, top = min(x for x, _ in places), min(y for _, y in places)
    orientation = read_orientation(Frame(*entries))
    shown = orientation.apply(PICTURE)
    assert orientation.swaps_sides == (shown.shape[:2] == (width, height))
    for (x, y), value in places.items():
        np.testing.assert_array_equal(shown[y - top, x - left], value)


def test_a_frame_without_matrix_is_upright():
    frame = Frame(1, 0, 0, 1)
    frame.side_data = {}
    assert read_orientation(frame) == Orientation(0, False)
