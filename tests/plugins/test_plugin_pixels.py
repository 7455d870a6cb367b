"""Sizes and pixels by the numbers of a processor, against hand-worked ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from dynfocus.plugins import PixelPlan
from dynfocus.plugins.families.qwen import step_seconds
from dynfocus.plugins.host_pixels import fit_pixels, shortest_edge_size, to_pixels

COLOURS = {"image_mean": (0.5, 0.25, 0.0), "image_std": (0.5, 0.25, 1.0)}


def frames_of(*size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)


def test_colours_are_normalised_and_nothing_else_where_the_size_fits():
    frames = frames_of(6, 8)
    got = to_pixels(frames, PixelPlan.of(COLOURS, ((6, 8),)))
    scaled = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
    wanted = [(scaled[:, c] - m) / s for c, m, s in ((0, 0.5, 0.5), (1, 0.25, 0.25))]
    torch.testing.assert_close(got[:, 0], wanted[0])
    torch.testing.assert_close(got[:, 1], wanted[1])
    torch.testing.assert_close(got[:, 2], scaled[:, 2])


@pytest.mark.parametrize("resample", [1, 2, 3])
def test_filters_are_pillows_to_a_few_levels(resample):
    frames = frames_of(40, 56)
    plan = PixelPlan.of({**COLOURS, "resample": resample}, ((16, 24),))
    got = to_pixels(frames, plan)[0, 2] * 255
    picture = Image.fromarray(frames[0]).resize((24, 16), resample)
    wanted = np.asarray(picture)[..., 2]
    assert np.abs(got.numpy() - wanted).max() <= 2


def test_the_centre_is_cut_out():
    frames = frames_of(8, 12)
    got = to_pixels(frames, PixelPlan.of(COLOURS, ((8, 12),), (4, 4)))
    whole = to_pixels(frames, PixelPlan.of(COLOURS, ((8, 12),)))
    assert torch.equal(got, whole[:, :, 2:6, 4:8])
    with pytest.raises(ValueError, match="8 x 12 pixels cannot be cropped to 9 x 4"):
        to_pixels(frames, PixelPlan.of(COLOURS, ((8, 12),), (9, 4)))
    with pytest.raises(ValueError, match="resample must be 1 .*got 7"):
        to_pixels(frames, PixelPlan.of({**COLOURS, "resample": 7}, ((4, 4),)))


def test_shorter_sides_and_whole_patches():
    assert shortest_edge_size((720, 1280), 224) == (224, 398)
    assert shortest_edge_size((1280, 720), 224) == (398, 224)
    assert fit_pixels((480, 640), 28, 0, 10**9) == (476, 644)
    assert fit_pixels((480, 640), 28, 0, 28 * 28 * 100) == (224, 308)
    assert fit_pixels((30, 40), 28, 28 * 28 * 16, 10**9) == (112, 140)
    with pytest.raises(ValueError, match="10 x 2001 pixels are too long"):
        fit_pixels((10, 2001), 28, 0, 10**9)


def test_the_time_of_a_pair_is_the_mean_spacing():
    times = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.1, 5.0]], dtype=torch.float64)
    assert step_seconds(times, 2) == pytest.approx(2.05)
    assert step_seconds(times[:1], 2) == 2.0
    assert step_seconds(torch.zeros(1, 2), 2) == 2.0
