"""FocusWorld is told by its pictures: encoded again, cropped, in black borders, or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dynfocus.index import Pictures
from dynfocus.video import VideoReader, VideoWriter
from dynfocus.world import is_world_video, make_scene, make_video, render
from dynfocus.world.recognition import WEIGHTS, is_world, recognise
from dynfocus.world.vocabulary import ROOMS


def world(seed: int, size: int = 112) -> np.ndarray:
    return np.stack(list(render(make_scene(seed, 20), range(0, 20, 3), size)))


def others() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    slide = Image.new("RGB", (160, 120), (240, 238, 230))
    ImageDraw.Draw(slide).text((9, 9), "The results\nof the year", fill=(20, 20, 20))
    toy = Image.new("RGB", (160, 120), (60, 150, 220))
    ImageDraw.Draw(toy).rectangle((40, 40, 90, 90), fill=(220, 40, 40))
    ramp = np.linspace(0, 255, 160).astype(np.uint8)
    return {
        "noise": rng.integers(0, 255, (3, 60, 80, 3), np.uint8),
        "black": np.zeros((2, 60, 80, 3), np.uint8),
        "white": np.full((2, 60, 80, 3), 255, np.uint8),
        "grey": np.full((1, 8, 8, 3), 120, np.uint8),
        "slide": np.asarray(slide)[None],
        "toy": np.asarray(toy)[None],
        "ramp": np.broadcast_to(ramp[:, None], (2, 90, 160, 3)).copy(),
    }


@pytest.mark.parametrize("seed", range(900_000, 900_006))
def test_every_view_of_the_world_is_known(seed):
    frames = world(seed)
    bordered = np.zeros((len(frames), 112, 200, 3), np.uint8)
    bordered[:, :, 44:156] = frames
    for view in (frames, frames[:1], frames[:, 5:107, 3:110], bordered):
        assert is_world(view)
    assert is_world(Pictures.of(frames))
    assert is_world(world(seed, 224))


@pytest.mark.parametrize("name", others())
def test_other_pictures_are_not_it(name):
    assert not is_world(others()[name])


def test_no_frame_is_refused():
    with pytest.raises(ValueError, match="at least one frame"):
        recognise(np.zeros((0, 8, 8, 3), np.uint8))


def test_a_tag_counts_for_nothing(tmp_path):
    comment = "dynfocus FocusWorld split=test seed=3"
    forged = tmp_path / "forged.mp4"
    with VideoWriter(forged, fps=4, size=(80, 80), comment=comment) as writer:
        for frame in np.random.default_rng(0).integers(
            0, 255, (8, 80, 80, 3), np.uint8
        ):
            writer.write(frame)
    assert VideoReader(forged).metadata["comment"] == comment
    assert not is_world_video(forged)
    made = make_video(tmp_path / "made.mp4", 6, seed=3, size=112)
    plain = tmp_path / "plain.mp4"
    with VideoWriter(plain, fps=4, size=(96, 128), crf=36) as writer:
        for frame in VideoReader(made.path).sample(fps=4, size=(96, 128)).frames:
            writer.write(frame)
    assert "comment" not in VideoReader(plain).metadata
    assert is_world_video(plain)
    assert is_world_video(VideoReader(plain))


def test_the_weights_are_small_and_of_this_world():
    stored = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    assert len(stored["bias"]) == 1 + len(ROOMS)
    assert WEIGHTS.stat().st_size < 12_000
