import re

import numpy as np
import pytest

import dynfocus.video
from dynfocus.video import VideoReader, VideoWriter


def write(path, numbers, draw_number, **settings):
    settings = {"fps": 8, "size": (64, 96), **settings}
    with VideoWriter(path, **settings) as writer:
        for number in numbers:
            writer.write(draw_number(number, *settings["size"]))
    return path


@pytest.mark.parametrize("fps", [8, 29.97, 0.5])
def test_what_is_written_can_be_read(fps, tmp_path, draw_number, read_numbers):
    path = write(tmp_path / "späti 1.mp4", range(20), draw_number, fps=fps)
    reader = VideoReader(path)
    assert reader.frame_count == 20
    assert reader.fps == pytest.approx(fps, rel=1e-4)
    assert reader.duration == pytest.approx(20 / fps, rel=1e-4)
    sampled = reader.sample(num_frames=20)
    assert read_numbers(sampled.frames) == list(range(20))
    np.testing.assert_allclose(sampled.times, np.arange(20) / fps, rtol=1e-4, atol=1e-4)


def test_colours_survive(tmp_path):
    colours = [(220, 30, 30), (30, 200, 40), (30, 40, 220), (255, 255, 255), (0, 0, 0)]
    path = tmp_path / "colours.mp4"
    with VideoWriter(path, fps=8, size=(32, 32), crf=5) as writer:
        for colour in colours:
            writer.write(np.full((32, 32, 3), colour, dtype=np.uint8))
    frames = VideoReader(path).sample(fps=8).frames
    difference = frames.mean(axis=(1, 2)) - np.array(colours)
    assert np.abs(difference).max() < 6


def test_the_same_frames_give_the_same_bytes(tmp_path, draw_number):
    paths = [write(tmp_path / f"{k}.mp4", range(9), draw_number) for k in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_processor_without_vectors_writes_too(tmp_path, monkeypatch):
    told = {"SIMD Extensions": {"baseline": ["X86_V2"], "not found": ["X86_V3"]}}
    monkeypatch.setattr(np, "show_config", lambda mode: told)
    with VideoWriter(tmp_path / "clip.mp4", fps=5, size=(32, 32)) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
    assert VideoReader(tmp_path / "clip.mp4").frame_count == 1


def test_nothing_is_left_after_a_failure(tmp_path, draw_number):
    path = write(tmp_path / "clip.mp4", range(3), draw_number)
    before = path.read_bytes()
    with pytest.raises(TypeError), VideoWriter(path, fps=8, size=(64, 96)) as writer:
        writer.write(draw_number("no number", 64, 96))
    with (
        pytest.raises(ValueError, match="a video needs at least one frame, got 0"),
        VideoWriter(path, fps=8, size=(64, 96)),
    ):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.mp4"]
    assert path.read_bytes() == before


def test_the_file_appears_only_when_complete(tmp_path, draw_number):
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, fps=8, size=(64, 96)) as writer:
        writer.write(draw_number(1, 64, 96))
        assert not path.exists()
    assert path.exists()


def test_an_unwritable_place_is_named(tmp_path):
    with (
        pytest.raises(OSError, match=r"clip\.mp4: cannot write a video here: No such"),
        VideoWriter(tmp_path / "nowhere" / "clip.mp4", fps=8, size=(64, 96)),
    ):
        pass
    with (
        pytest.raises(OSError, match="cannot write a video here, this is a folder"),
        VideoWriter(tmp_path, fps=8, size=(64, 96)),
    ):
        pass


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (63, 96)}, "size must be an even height and an even width"),
        ({"size": (64,)}, "size must be an even height and an even width"),
        ({"fps": 0}, "fps must be above 0 and at most 1000, got 0."),
        ({"crf": 60}, "crf must be between 0 and 51, got 60."),
    ],
)
def test_bad_settings_are_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        VideoWriter(tmp_path / "clip.mp4", **{"fps": 8, "size": (64, 96), **settings})


def test_bad_frames_are_refused(tmp_path):
    writer = VideoWriter(tmp_path / "clip.mp4", fps=8, size=(64, 96))
    with pytest.raises(ValueError, match="not open; write inside its `with` block"):
        writer.write(np.zeros((64, 96, 3), dtype=np.uint8))
    message = (
        "frame must be uint8 of shape [64, 96, 3], got float64 of shape [64, 96, 3]."
    )
    with pytest.raises(ValueError, match=re.escape(message)), writer:
        writer.write(np.zeros((64, 96, 3)))
    assert list(tmp_path.iterdir()) == []


def test_public_names_are_sorted_and_exist():
    names = dynfocus.video.__all__
    assert list(names) == sorted(names)
    assert all(hasattr(dynfocus.video, name) for name in names)
