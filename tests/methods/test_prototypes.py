"""Events of a video: as many as stand out, whatever its contrast."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynfocus.methods.selectors.prototypes import (
    _count_events,
    contrast_stretch,
    find_events,
)


@pytest.mark.parametrize(
    ("scores", "duration", "expected"),
    [
        ([1.0], 10, 1),
        ([0.3, 0.01, 0.01], 10, 1),
        ([1.2, 1.1, 0.9, 0.5, 0.39, 0.1], 10, 4),
        ([0.6, 0.3, 0.2, 0.15, 0.1], 10, 4),
        ([0.9, 0.8, 0.2, 0.2, 0.2], 10, 2),
        ([0.9, 0.2], 10, 2),
        ([1.0] * 50, 10, 12),
        ([1.0] * 50, 300, 20),
        ([1.0] * 50, 7200, 30),
    ],
)
def test_events_that_stand_out_are_counted(scores, duration, expected):
    assert _count_events(np.array(scores, np.float32), duration) == expected


def three_scenes(spread: float) -> torch.Tensor:
    """Describe 30 frames of three scenes, ``spread`` apart."""
    rng = np.random.default_rng(0)
    scenes = spread * rng.normal(size=(3, 50))
    frames = scenes.repeat(10, axis=0) + 0.02 * spread * rng.normal(size=(30, 50))
    return torch.from_numpy(frames.astype(np.float32))


@pytest.mark.parametrize("spread", [1.0, 0.3])
def test_events_are_the_scenes_in_time_order(spread):
    found = find_events(three_scenes(spread), None, 30.0)
    assert found.assignment[0].tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert [int(center) // 10 for center in found.centers[0]] == [0, 1, 2]
    four = find_events(three_scenes(spread), 4, 30.0)
    assert four.centers.shape == (1, 4)


def test_low_contrast_is_stretched_and_high_contrast_left_alone():
    rng = torch.Generator().manual_seed(0)
    points = torch.randn(40, 30, generator=rng)
    assert contrast_stretch(4 * points) == 1.0
    low = 0.2 * points
    distances = torch.pdist(low * contrast_stretch(low)) / 30**0.5
    assert float(distances.quantile(0.9)) == pytest.approx(2.0, abs=1e-3)
    assert contrast_stretch(points[:1]) == 1.0
