"""A video of four scenes with known bounds, the last like the first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dynfocus.video import VideoWriter

SCENES = ((0.0, 3.0), (3.0, 5.0), (5.0, 9.0), (9.0, 10.0))
"""Bounds in seconds; the picture of the fourth is that of the first."""


def scene_picture(number: int, moment: float) -> NDArray[np.uint8]:
    """Draw a scene with a small disc that moves."""
    yy, xx = np.mgrid[0:72, 0:128].astype(np.float32)
    walls = (
        np.stack([200 + 0 * xx, 60 + yy, 40 + 0 * xx], -1),
        np.stack([30 + 0 * xx, 90 + 60 * np.sin(xx / 5), 60 + yy], -1),
        np.stack([40 + xx / 2, 60 + 0 * xx, 180 + 40 * np.sin(yy / 4)], -1),
    )
    picture = walls[number % 3].copy()
    centre = 20 + 2 * moment
    picture[(xx - centre) ** 2 + (yy - 36) ** 2 < 36] = 255
    return picture.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def scenes_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "four scenes.mp4"
    with VideoWriter(path, fps=10, size=(72, 128)) as writer:
        for number, (start, end) in enumerate(SCENES):
            for frame in range(round(10 * (end - start))):
                writer.write(scene_picture(number, frame / 10))
    return path


@pytest.fixture(scope="session")
def still_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("still") / "still.mp4"
    with VideoWriter(path, fps=10, size=(72, 128)) as writer:
        for _ in range(20):
            writer.write(scene_picture(0, 0))
    return path
