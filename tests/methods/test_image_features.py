from __future__ import annotations

import numpy as np
import pytest

from dynfocus.methods import image_features
from dynfocus.methods.image_features import _edges, _histogram, _lab, _mean_in_cells


def random_frames(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 24, 40, 3), dtype=np.uint8)


def separation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.sqrt(len(a)))


def test_lab_of_known_colours():
    colours = np.array(
        [[[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 0, 255]]]], np.uint8
    )
    expected = [
        [1, 0, 0],
        [0, 0, 0],
        [0.5324, 0.8009, 0.6720],
        [0.3230, 0.7919, -1.0786],
    ]
    np.testing.assert_allclose(_lab(colours)[0, 0], expected, atol=2e-3)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (24, 40), (17, 29)])
def test_cell_means_equal_a_literal_loop(height, width):
    values = np.random.default_rng(1).random((2, height, width, 3), dtype=np.float32)
    rows = [(g * height) // 4 for g in range(5)]
    columns = [(g * width) // 4 for g in range(5)]
    expected = [
        [
            values[
                t, rows[r] : rows[r + 1], columns[c] : columns[c + 1], channel
            ].mean()
            for r in range(4)
            for c in range(4)
            for channel in range(3)
        ]
        for t in range(2)
    ]
    np.testing.assert_allclose(_mean_in_cells(values, 4), expected, rtol=1e-5)


def test_edges_tell_the_direction():
    stripes = np.zeros((2, 32, 32), np.float32)
    stripes[0, :, ::4] = 1  # vertical stripes: the gradient points to the right
    stripes[1, ::4, :] = 1
    strongest = _edges(stripes).reshape(2, 16, 8).argmax(axis=2)
    assert (strongest[0] == 0).all()
    assert (strongest[1] == 4).all()


def test_histogram_is_of_length_one_and_ignores_places():
    lab = _lab(random_frames(2))
    histogram = _histogram(lab)
    np.testing.assert_allclose(np.linalg.norm(histogram, axis=1), 1, rtol=1e-5)
    coarse = np.repeat(np.repeat(lab[:, ::2, ::2], 2, axis=1), 2, axis=2)
    np.testing.assert_allclose(_histogram(coarse[:, ::-1]), histogram, rtol=1e-5)


def test_histogram_changes_little_when_a_colour_crosses_a_border_of_bins():
    greys = np.stack([np.full((8, 8, 3), level, np.uint8) for level in range(256)])
    histogram = _histogram(_lab(greys))
    steps = np.linalg.norm(np.diff(histogram, axis=0), axis=1)
    assert steps.max() < 0.25


def test_a_frame_has_the_same_features_alone_and_in_a_crowd():
    frames = random_frames(130)
    together = image_features(frames)
    np.testing.assert_allclose(image_features(frames[100:101])[0], together[100])


def test_a_little_noise_is_near_and_another_colour_is_far():
    plain = np.full((3, 54, 96, 3), (180, 60, 40), np.uint8)
    plain[1] += np.random.default_rng(3).integers(0, 4, plain[1].shape, dtype=np.uint8)
    plain[2] = (30, 60, 190)
    features = image_features(plain)
    assert separation(features[0], features[1]) < 0.35
    assert separation(features[0], features[2]) > 1


@pytest.mark.parametrize("shape", [(24, 40, 3), (2, 24, 40), (0, 24, 40, 3)])
def test_wrong_shapes_are_named(shape):
    with pytest.raises(ValueError, match=r"frames must have shape \[T, H, W, 3\]"):
        image_features(np.zeros(shape, np.uint8))
