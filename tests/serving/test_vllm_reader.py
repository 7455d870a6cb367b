from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynfocus.serving import vllm_reader
from dynfocus.serving.vllm_reader import EventVideoReader
from dynfocus.video import VideoReader, VideoWriter
from word_scorer import WordScorer

FOREIGN = (
    "transformers",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "pydantic",
    "httpx",
    "platformdirs",
    "matplotlib",
    "PIL",
    "rich",
    "typer",
    "yaml",
    "fastapi",
)
"""Packages whose versions vLLM chooses, or does not have."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of red, then one of green, then five of blue, at uneven times."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with VideoWriter(path, fps=8, size=(48, 64)) as writer:
        parts = ((200, 30, 30), 48), ((30, 160, 40), 8), ((30, 40, 200), 40)
        for colour, count in parts:
            for _ in range(count):
                writer.write(np.full((48, 64, 3), colour, np.uint8))
    return path


def load(clip: Path, **given: Any) -> tuple[np.ndarray, dict[str, Any]]:
    return EventVideoReader.load_bytes(clip.read_bytes(), **given)


def test_frames_are_exactly_as_many_as_wanted_and_true_to_their_times(
    clip: Path,
) -> None:
    frames, metadata = load(clip, num_frames=5)
    times = np.array(metadata["frames_indices"]) / metadata["fps"]
    expected = VideoReader(clip).sample(times=times + 0.001)
    assert np.array_equal(frames, expected.frames)
    assert np.allclose(times, expected.times, atol=0.0006)
    assert metadata["duration"] == pytest.approx(12.0)
    assert metadata["total_num_frames"] == 12000
    assert metadata["do_sample_frames"] is False
    assert metadata["video_backend"] == "dynfocus"


def test_every_event_has_a_frame_before_one_has_two(clip: Path) -> None:
    frames, _ = load(clip, num_frames=3)
    assert frames.mean((1, 2)).argmax(1).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({"num_frames": 1000}, 96),
        ({"num_frames": -1}, 96),
        ({"num_frames": -1, "fps": 0.5}, 6),
        ({"num_frames": 4, "fps": 0.5}, 4),
        ({"num_frames": 32, "fps": 0.01}, 1),
        ({"num_frames": 4, "max_duration": 300, "frame_recovery": False}, 4),
        ({"num_frames": 32, "start": "0:06", "end": 7}, 8),
    ],
)
def test_no_limit_is_exceeded(clip: Path, given: dict[str, Any], count: int) -> None:
    frames, metadata = load(clip, **given)
    assert len(frames) == len(metadata["frames_indices"]) == count


def test_the_question_chooses_where_a_scorer_reads_it(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_reader, "_load_scorer", lambda folder: WordScorer())
    given = {"num_frames": 2, "scorer": str(tmp_path), "rule": "ranked"}
    frames, metadata = load(clip, question="What is green?", **given)
    assert frames.mean((1, 2)).argmax(1).tolist() == [1, 1]
    assert all(6000 <= tick < 7000 for tick in metadata["frames_indices"])


def test_a_question_that_nothing_reads_is_logged(
    clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vllm_reader._warn_once.cache_clear()
    load(clip, num_frames=2, question="What is green?")
    load(clip, num_frames=2, question="What is green?")
    assert caplog.text.count("nothing here compares frames with questions") == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_frames": 0}, "num_frames must be above 0, or -1"),
        ({"fps": -2}, "fps must be above 0, or -1"),
        ({"question": "x", "scorer": "some/hub-name"}, "must be a folder"),
        ({"rule": "best"}, "rule must be one of"),
    ],
)
def test_what_is_wrong_is_said(clip: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(clip, **{"num_frames": 2, **given})
    with pytest.raises(ValueError, match="not a video"):
        EventVideoReader.load_bytes(b"no video")


def test_it_works_without_the_packages_that_vllm_has_other_versions_of(
    clip: Path,
) -> None:
    program = f"""
import json, sys
for name in {FOREIGN!r}:
    sys.modules[name] = None
from dynfocus.serving.vllm_reader import EventVideoReader, register
with open({str(clip)!r}, "rb") as file:
    frames, metadata = EventVideoReader.load_bytes(file.read(), num_frames=3)
print(json.dumps([list(frames.shape), metadata]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    shape, metadata = json.loads(done.stdout)
    assert shape == [3, 48, 64, 3]
    assert len(metadata["frames_indices"]) == 3
