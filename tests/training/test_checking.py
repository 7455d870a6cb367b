"""Data that is looked through before training."""

from __future__ import annotations

import ctypes
import json

import numpy as np
import pytest
from PIL import Image

from dynfocus.training import checking
from dynfocus.training.checking import check_data, try_media
from dynfocus.video import MediumTrial, VideoWriter

TURNS = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "This"}]
WORDS = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "This"}]
ADDRESS = "focusworld:train/3?seconds=20"


@pytest.fixture
def folder(tmp_path):
    """Write good and bad media, and samples of every kind of fault."""
    with VideoWriter(tmp_path / "clip.mp4", fps=4, size=(64, 64)) as writer:
        for number in range(12):
            writer.write(np.full((64, 64, 3), 20 * number, np.uint8))
    whole = (tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mp4").write_text("no video")
    Image.new("RGB", (50, 40), "red").save(tmp_path / "red.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "red.png").read_bytes()[:60])
    samples = [
        {"id": "good", "video": "clip.mp4", "conversations": TURNS, "source": "x"},
        {"id": "cut", "video": "cut.mp4", "conversations": TURNS},
        {"id": "text", "video": "text.mp4", "conversations": TURNS},
        {"id": "red", "image": "red.png", "conversations": TURNS},
        {"id": "bad", "image": "bad.png", "conversations": TURNS},
        {"id": "gone", "video": "gone.mp4", "conversations": TURNS},
        {"id": "words", "conversations": WORDS},
        {"id": "mark", "conversations": TURNS},
        {"id": "half", "conversations": WORDS[:1]},
        {"id": "mute", "conversations": [WORDS[0], {"from": "gpt", "value": " "}]},
        {"id": "drawn", "video": ADDRESS, "conversations": TURNS},
        {"video": "clip.mp4", "conversations": TURNS},
        "nonsense",
    ]
    lines = "".join(json.dumps(sample) + "\n" for sample in samples)
    (tmp_path / "data.jsonl").write_text(lines + "{oops\n")
    return tmp_path


def test_everything_that_is_wrong_is_found(folder):
    report = check_data(folder / "data.jsonl", num_workers=1)
    problems = dict(report.problems)
    assert report.num_samples == 14
    assert list(problems) == [
        "cut",
        "text",
        "bad",
        "gone",
        "mark",
        "half",
        "mute",
        f"{folder / 'data.jsonl'}, line 13",
        f"{folder / 'data.jsonl'}, line 14",
    ]
    assert "not a video" in problems["text"]
    assert "gone.mp4 does not exist" in problems["gone"]
    assert problems["mark"] == (
        "has the mark <image>, but names neither a video nor an image"
    )
    assert problems["half"].startswith("turns must alternate human, gpt")
    assert problems["mute"].startswith("'value' of turn 2 must be a text that is not")
    *_, no_sample, no_json = problems.values()
    assert no_sample == "'conversations' must be a list of turns"
    assert no_json.startswith("not valid JSON: ")


def test_the_clean_list_can_be_trained_on(folder, load):
    report = check_data(folder / "data.jsonl", num_workers=1)
    assert report.clean == folder / "data.clean.jsonl"
    samples = load([{"json": str(report.clean)}])
    assert [s.get("id") for s in samples] == ["good", "red", "words", "drawn", None]
    assert samples[0]["source"] == "x"
    assert samples[0]["duration"] == pytest.approx(3)
    assert samples[3]["duration"] == 20
    raw = [json.loads(line) for line in report.clean.read_text().splitlines()]
    assert raw[0]["video"] == "clip.mp4"
    assert not check_data(report.clean, num_workers=1).problems


def test_what_neighbours_write_is_looked_through_too(folder, load):
    answer = {"role": "assistant", "content": "This."}
    clip = {"type": "video", "video": "clip.mp4"}
    asked = {"role": "user", "content": [clip, {"type": "text", "text": "What?"}]}
    samples = [
        {"id": "two", "video": ["clip.mp4", "clip.mp4"], "conversations": WORDS},
        {"id": "bad", "video": ["clip.mp4", "text.mp4"], "conversations": WORDS},
        {"id": "parts", "messages": [asked, answer]},
        {"id": "sound", "messages": [{"role": "user", "content": [{}]}, answer]},
        {"id": "pair", "image": ["red.png", "red.png"], "conversations": WORDS},
    ]
    path = folder / "neighbours.json"
    path.write_text(json.dumps(samples))
    report = check_data(path, num_workers=1)
    problems = dict(report.problems)
    assert list(problems) == ["bad", "sound"]
    assert "not a video" in problems["bad"]
    assert "has a part of type 'None'" in problems["sound"]
    two, parts, pair = load([{"json": str(report.clean)}])
    assert two["duration"] == pytest.approx([3, 3])
    assert (parts["duration"], parts["video"]) == (3, str(folder / "clip.mp4"))
    assert "duration" not in pair


def test_media_are_found_under_a_root(folder):
    (folder / "lists").mkdir()
    moved = (folder / "data.jsonl").rename(folder / "lists" / "data.jsonl")
    report = check_data(
        moved, root=folder, clean=folder / "new" / "good.json", num_workers=1
    )
    assert len(report.problems) == 9
    assert len(json.loads((folder / "new" / "good.json").read_text())) == 5


def test_several_processes_find_the_same(folder):
    media = [("video", str(folder / name)) for name in ("clip.mp4", "text.mp4")]
    media += [("image", str(folder / name)) for name in ("red.png", "bad.png")]
    counts = []
    found = try_media(
        media,
        2,
        is_full=True,
        progress=lambda done, total: counts.append((done, total)),
    )
    assert found == try_media(media, 1)
    assert counts == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_file_that_crashes_the_decoder_takes_nothing_along():
    good = [bytes([letter]) for letter in b"abcdefgh"]
    paths = [good[0], 0, *good[1:]]  # reading the address 0 crashes any process
    found = dict(checking._in_processes(ctypes.string_at, paths, 2))
    assert found.pop(0) == MediumTrial(problem="0: the decoder crashes on it")
    assert found == {path: path for path in good}


def test_the_data_itself_is_never_overwritten(folder):
    with pytest.raises(ValueError, match="the clean list must be another file than"):
        check_data(folder / "data.jsonl", clean=folder / "data.jsonl")
    with pytest.raises(
        FileNotFoundError, match="import some with 'dynfocus data import"
    ):
        check_data(folder / "no.jsonl")
