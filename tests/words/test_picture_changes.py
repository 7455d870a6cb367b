import numpy as np
import pytest

pytest.importorskip("cv2")

from dynfocus.words.line_memory import LineMemory
from dynfocus.words.picture_changes import ChangeDetector
from dynfocus.words.picture_text import Reading

NOTHING = np.zeros((0, 4, 2), np.float32)
RANDOM = np.random.default_rng(0)


def picture(value=200):
    return np.full((180, 320, 3), value, np.uint8)


def moments_read(pictures, boxes=NOTHING):
    """Give the seconds at which pictures, one a second, are read."""
    changes, read = ChangeDetector(), []
    for seconds, one in enumerate(pictures):
        if changes.is_due(one, float(seconds)):
            changes.mark_read(float(seconds), boxes, one.shape[:2])
            read.append(seconds)
    return read


def test_same_picture_is_read_once():
    noisy = [
        np.clip(picture().astype(int) + RANDOM.integers(-3, 4, (180, 320, 3)), 0, 255)
        for _ in range(5)
    ]
    assert moments_read([one.astype(np.uint8) for one in noisy]) == [0]


def test_one_changed_letter_is_enough():
    changed = picture()
    changed[100:110, 100:103] = 0
    assert moments_read([picture(), picture(), changed, changed]) == [0, 2]


def test_slow_change_adds_up():
    fading = [picture(200 - 3 * n) for n in range(6)]
    assert moments_read(fading) == [0, 3]


def test_film_is_read_every_other_second():
    film = [RANDOM.integers(0, 255, (180, 320, 3)).astype(np.uint8) for _ in range(10)]
    assert moments_read(film) == [0, 1, 2, 4, 6, 8]


def test_slide_beside_a_face_is_read_when_it_changes():
    pictures = []
    for number in range(10):
        one = picture()
        one[120:, 240:] = RANDOM.integers(0, 255, (60, 80, 3))
        if number >= 7:
            one[20:30, 20:100] = 0
        pictures.append(one)
    assert 7 in moments_read(pictures)


def test_text_that_moves_is_read_each_time():
    film = [RANDOM.integers(0, 255, (180, 320, 3)).astype(np.uint8) for _ in range(6)]
    everywhere = np.array([[[0, 0], [320, 0], [320, 180], [0, 180]]], np.float32)
    assert moments_read(film, everywhere) == [0, 1, 2, 3, 4, 5]


def test_known_lines_are_recalled_and_others_are_not():
    memory = LineMemory()
    line = np.full((24, 200, 3), 255, np.uint8)
    line[4:20, 10:150:7] = 0
    memory.keep(line, Reading("known", 0.9))
    noisy = np.clip(line.astype(int) + RANDOM.integers(-4, 5, line.shape), 0, 255)
    assert memory.recall(noisy.astype(np.uint8)) == Reading("known", 0.9)
    other = line.copy()
    other[4:20, 60:70] = 255 - other[4:20, 60:70]
    assert memory.recall(other) is None
    assert memory.recall(line[:, :150]) is None
