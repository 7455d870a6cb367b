"""Tiny hosts, plugged, and frames to ask about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_hosts import Host, build_host

from dynfocus.models import VideoModel
from dynfocus.plugins import plug
from dynfocus.video import VideoWriter
from word_scorer import WordScorer


@pytest.fixture(scope="session")
def hosts() -> Callable[[str], Host]:
    """Give the host of a family, built once."""
    built: dict[str, Host] = {}

    def get(name: str) -> Host:
        if name not in built:
            built[name] = build_host(name)
        return built[name]

    return get


@pytest.fixture
def plugged(hosts: Callable[[str], Host]) -> Callable[..., VideoModel]:
    def make(name: str = "llava_onevision", **options: Any) -> VideoModel:
        host = hosts(name)
        return plug(host.model, host.processor, **options)

    return make


@pytest.fixture
def make_frames() -> Callable[..., np.ndarray]:
    """Draw frames of which neighbours resemble each other, in scenes of three."""

    def make(num_frames: int, seed: int = 0, size: tuple = (40, 56)) -> np.ndarray:
        generator = np.random.default_rng(seed)
        scenes = generator.integers(20, 236, (-(-num_frames // 3), *size, 3))
        frames = scenes.repeat(3, axis=0)[:num_frames]
        frames = frames + generator.integers(-20, 20, frames.shape)
        return frames.astype(np.uint8)

    return make


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Write six seconds of changing colours at 4 frames a second."""
    path = tmp_path / "clip.mp4"
    generator = np.random.default_rng(0)
    with VideoWriter(path, fps=4, size=(48, 64)) as writer:
        for _ in range(6):
            colours = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            for _ in range(4):
                writer.write(colours.repeat(8, axis=0).repeat(8, axis=1))
    return path


@pytest.fixture
def scorer() -> WordScorer:
    return WordScorer()
