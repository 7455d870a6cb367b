"""Videos with scenes of known bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dynfocus.video import VideoWriter
from word_scorer import WordScorer

BOUNDS = (0.0, 8.0, 10.0, 16.0, 20.0)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write four scenes of noise at 5 frames a second; the second is short."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (4, 9, 16, 3), dtype=np.uint8)
    pictures = pictures.repeat(8, axis=1).repeat(8, axis=2)
    path = tmp_path_factory.mktemp("scenes") / "scenes.mp4"
    with VideoWriter(path, fps=5, size=(72, 128)) as writer:
        for number in range(100):
            scene = int(np.searchsorted(BOUNDS, number / 5, "right")) - 1
            writer.write(pictures[scene])
    return path


@pytest.fixture(scope="session")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write twenty seconds of one picture."""
    path = tmp_path_factory.mktemp("still") / "still.mp4"
    with VideoWriter(path, fps=5, size=(64, 64)) as writer:
        for _ in range(100):
            writer.write(np.full((64, 64, 3), 90, np.uint8))
    return path


@pytest.fixture
def scorer() -> WordScorer:
    return WordScorer()
