"""Folders of FocusWorld videos: formats, resuming, settings that are refused."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from dynfocus.training.sources import Source, load_samples
from dynfocus.video import VideoReader
from dynfocus.world import (
    KINDS,
    World,
    dataset,
    find_questions,
    is_world_video,
    make_questions,
    make_scene,
)
from dynfocus.world.conversations import PLACEHOLDER
from dynfocus.world.dataset import draw_duration, make_dataset

SMALL = {"fps": 2.0, "size": 112}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("world") / "new" / "folder"
    return make_dataset(path, 2, (5.0, 9.0), seed=7, split="train", **SMALL)


def benchmark(folder: Path) -> list[dict]:
    text = (folder / "benchmark.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_the_folder_holds_videos_and_both_formats(folder):
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert names == {
        "train.json",
        "benchmark.jsonl",
        "videos/train-000007.mp4",
        "videos/train-000007.json",
        "videos/train-000008.mp4",
        "videos/train-000008.json",
    }
    for seed in (7, 8):
        path = folder / "videos" / f"train-{seed:06d}.mp4"
        assert is_world_video(path)
        duration = draw_duration((5.0, 9.0), seed, "train")
        assert VideoReader(path).duration == pytest.approx(duration, abs=0.01)
        assert VideoReader(path).size == (112, 112)


def test_the_conversations_load_as_training_data(folder):
    samples, _ = load_samples((Source(json=str(folder / "train.json")),))
    assert len(samples) == len(benchmark(folder))
    for sample, line in zip(samples, benchmark(folder), strict=True):
        assert sample["id"] == line["id"]
        assert Path(sample["video"]).is_file()
        human, gpt = sample["conversations"]
        assert human["value"] == f"{PLACEHOLDER}\n{line['question']}"
        assert gpt["value"] == line["answer"]


def test_benchmark_lines_tell_the_truth(folder):
    lines = benchmark(folder)
    for seed in (7, 8):
        duration = draw_duration((5.0, 9.0), seed, "train")
        questions = make_questions(make_scene(seed, duration, "train"))
        mine = [line for line in lines if f"-{seed:06d}." in line["video"]]
        assert len(mine) == len(questions)
        for line, question in zip(mine, questions, strict=True):
            assert set(line) == {
                "id",
                "video",
                "duration",
                "kind",
                "question",
                "answer",
                "options",
                "evidence",
                "held_out",
                "pair",
            }
            assert line["kind"] in KINDS
            assert line["duration"] == duration
            assert (folder / line["video"]).is_file()
            assert (line["question"], line["answer"]) == (
                question.question,
                question.answer,
            )
            assert line["options"] == list(question.options)
            assert line["evidence"] == [list(span) for span in question.evidence]
            assert (line["held_out"], line["pair"]) == (
                question.held_out,
                question.pair,
            )
    assert len({line["id"] for line in lines}) == len(lines)


def count_videos(monkeypatch, stop_at: int | None = None) -> list[str]:
    made: list[str] = []
    real = dataset.make_video

    def make(path, *arguments, **settings):
        if len(made) == stop_at:
            raise KeyboardInterrupt
        made.append(Path(path).name)
        return real(path, *arguments, **settings)

    monkeypatch.setattr(dataset, "make_video", make)
    return made


def test_a_stopped_run_continues(tmp_path, monkeypatch):
    whole = make_dataset(tmp_path / "whole", 3, 5.0, **SMALL)
    made = count_videos(monkeypatch, stop_at=2)
    with pytest.raises(KeyboardInterrupt):
        make_dataset(tmp_path / "parts", 3, 5.0, **SMALL)
    assert made == ["test-000000.mp4", "test-000001.mp4"]
    assert not (tmp_path / "parts" / "train.json").exists()
    monkeypatch.undo()
    made = count_videos(monkeypatch)
    steps = []
    parts = make_dataset(
        tmp_path / "parts",
        3,
        5.0,
        progress=lambda done, total: steps.append((done, total)),
        **SMALL,
    )
    assert made == ["test-000002.mp4"]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    for name in ("train.json", "benchmark.jsonl"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()


def test_finished_videos_are_kept_and_others_made_anew(tmp_path, monkeypatch):
    make_dataset(tmp_path, 2, 5.0, **SMALL)
    made = count_videos(monkeypatch)
    make_dataset(tmp_path, 2, 5.0, **SMALL)
    assert made == []
    make_dataset(tmp_path, 2, 5.0, max_per_kind=1, **SMALL)
    assert made == []
    assert len({(x["video"], x["kind"]) for x in benchmark(tmp_path)}) < 2 * len(KINDS)
    (tmp_path / "videos" / "test-000000.json").write_text("{")
    make_dataset(tmp_path, 2, 5.0, **SMALL)
    assert made == ["test-000000.mp4"]
    (tmp_path / "videos" / "test-000001.mp4").unlink()
    make_dataset(tmp_path, 2, 5.0, **SMALL)
    assert made == ["test-000000.mp4", "test-000001.mp4"]
    (tmp_path / "videos" / "test-000000.mp4").write_text("<html>")
    made.clear()
    make_dataset(tmp_path, 2, 5.0, **SMALL)
    assert made == ["test-000000.mp4"]
    made.clear()
    make_dataset(tmp_path, 2, 6.0, **SMALL)
    assert len(made) == 2


def test_lengths_are_drawn_from_the_seed():
    drawn = [draw_duration((60.0, 180.0), seed, "test") for seed in range(200)]
    assert drawn == [draw_duration((60.0, 180.0), seed, "test") for seed in range(200)]
    assert min(drawn) < 70
    assert max(drawn) > 170
    assert all(60 <= d <= 180 and d == int(d) for d in drawn)
    assert draw_duration(12.5, 3, "test") == 12.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_videos": 0}, "num_videos must be 1 or more, got 0"),
        ({"duration": 4.0}, "duration must be at least 5 seconds, got 4"),
        ({"duration": (3.0, 60.0)}, "duration must be at least 5 seconds, got 3"),
        (
            {"duration": (60.0, 30.0)},
            "duration must go from low to high, got 60 to 30",
        ),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"split": "dev"}, "split must be one of train, validation, test, got 'dev'"),
        ({"size": 100}, "size must be a multiple of 112, got 100"),
        ({"fps": 0.0}, "fps must be above 0"),
    ],
)
def test_bad_settings_are_refused(tmp_path, changes, message):
    settings = {"num_videos": 1, "duration": 5.0, **changes}
    with pytest.raises(ValueError, match=message):
        make_dataset(tmp_path / "w", **settings)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_folder_of_the_widened_world(tmp_path):
    world = World(wide=True, unseen=("fonts",))
    make = partial(
        make_dataset, tmp_path, 2, 12.0, 3, "validation", world=world, **SMALL
    )
    folder = make()
    lines = benchmark(folder)
    assert len({line["id"] for line in lines}) == len(lines) > 20
    for line in lines:
        assert {"kind", "question", "answer", "evidence", "duration"} <= set(line)
        assert [w["held_out"] for w in line["wordings"]] == [False, False, True]
        assert all(0 <= a < b <= 12 for a, b in line["evidence"])
    videos = sorted((folder / "videos").glob("*.mp4"))
    sizes = {VideoReader(path).size for path in videos}
    assert all(min(size) >= 112 for size in sizes)
    samples, _ = load_samples((Source(json=str(folder / "train.json")),))
    assert [s["id"] for s in samples] == [line["id"] for line in lines]
    asked = {w["text"] for line in lines for w in line["wordings"] if not w["held_out"]}
    humans = {s["conversations"][0]["value"] for s in samples}
    assert humans <= {f"{PLACEHOLDER}\n{text}" for text in asked}
    assert find_questions(videos[0])
    times = [path.stat().st_mtime_ns for path in videos]
    make()
    assert [path.stat().st_mtime_ns for path in videos] == times
    make_dataset(tmp_path, 2, 12.0, 3, "validation", **SMALL)  # the narrow world's
    assert all(p.stat().st_mtime_ns != t for p, t in zip(videos, times, strict=True))
