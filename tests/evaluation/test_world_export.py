"""FocusWorld in the formats of others: read back, the same bytes twice."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dynfocus.evaluation.benchmarks import WorldBenchmark, rules
from dynfocus.evaluation.benchmarks.loading import open_benchmark
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.benchmarks.registry import load_benchmark
from dynfocus.evaluation.benchmarks.world_export import (
    answer_by_rules,
    export_world,
    write_card,
)
from dynfocus.evaluation.benchmarks.world_formats import FORMATS, read_questions
from dynfocus.methods.intervals import find_intervals
from dynfocus.training.sources import Source, load_samples
from dynfocus.world.video import NARROW, World

ARGUMENTS = {"num_videos": 2, "duration": 24.0, "seed": 700}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("world")
    export_world(place, "charades-sta", **ARGUMENTS)
    rows = read_questions(place)
    for write in FORMATS.values():  # the videos are made once for all
        for name, content in write(rows, place).items():
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_text(content)
    return place


def _read(folder: Path, name: str):
    return json.loads((folder / name).read_text())


def _bytes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("name", "exported"),
    [
        ("video-mme", "video_mme.json"),
        ("fineaction-cgr", "fineaction_cgr.json"),
        ("focusworld", "benchmark.jsonl"),
        ("kfs-bench", "kfs_bench*"),
        ("lv-haystack", "lv_haystack.jsonl"),
        ("charades-sta", "charades_sta*"),
    ],
)
def test_our_benchmarks_read_it_back(folder, tmp_path, name, exported):
    for path in folder.glob(exported):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "videos").symlink_to(folder / "videos")
    opened = open_benchmark(load_benchmark(name), tmp_path, BenchmarkOptions())
    assert opened.items
    assert opened.missing_videos(opened.items) == []
    lines = (folder / "benchmark.jsonl").read_text().splitlines()
    asked = {row["id"]: row for row in map(json.loads, lines)}
    for item in opened.items:
        if name == "charades-sta":  # has no ids
            evidence = [row["evidence"] for row in asked.values()]
            assert any(_are_alike(item.evidence, one) for one in evidence)
            continue
        row = asked[item.id]
        if item.choices:
            assert item.choices["ABCD".index(item.answer)] == row["answer"]
        if item.kind == "grounding":
            assert _are_alike(item.evidence, row["evidence"])
        if name == "kfs-bench":
            assert len(row["evidence"]) > 1
            long = [(a, max(b, a + 1)) for a, b in row["evidence"]]
            assert _are_alike(item.evidence, long)
        if name == "lv-haystack":
            middles = [(a + b) / 2 for a, b in row["evidence"]]
            assert item.key_times == pytest.approx(middles, abs=1 / 8)


def _are_alike(found, true):
    """Tell whether stretches are the same, to a hundredth of a second."""
    return len(found) == len(true) and all(
        one == pytest.approx(other, abs=0.011)
        for one, other in zip(found, true, strict=True)
    )


def test_actions_make_dialogues_of_five_turns_that_training_reads(tmp_path):
    benchmark = WorldBenchmark(num_videos=5, seconds=(40, 60), world=World(wide=True))
    rows = [
        {
            "id": row.id,
            "video": f"videos/{row.id.split('?')[0][-1]}.mp4",
            "kind": row.facts["kind"],
            "question": row.question,
            "answer": row.answer,
            "evidence": [list(one) for one in row.evidence],
            "duration": 60.0,
        }
        for row in benchmark.rows()
    ]
    files = FORMATS["fineaction-cgr"](rows, tmp_path)
    items = json.loads(files["fineaction_cgr.json"])
    assert {item["task"][:3] for item in items} == {"grd", "cap", "rsn"}
    moments = [item for item in items if item["task"] == "grd_action"]
    ends = [
        (one["meta"]["token"]["<s1>"], one["meta"]["token"]["<e1>"]) for one in moments
    ]
    assert ends
    assert all(0 < end - start < 2 for start, end in ends)
    dialogues = json.loads(files["mtqa.json"])
    assert {len(one["conversations"]) for one in dialogues} == {10}
    assert {len(one["answer_segment"]) for one in dialogues} == {5}
    assert all(set(one["tags"]) == {"grd", "cp", "rsn"} for one in dialogues)
    mixed = ["grd", "cp", "rsn", "grd", "cp"]
    place = [one["tags"] for one in dialogues].index(mixed)
    first = dialogues[place]
    assert first["conversations"][7]["value"] == "from <s4> to <e4>"
    (tmp_path / "mtqa.json").write_text(files["mtqa.json"])
    for one in dialogues:  # nothing reads them here
        (tmp_path / one["video"]).parent.mkdir(exist_ok=True)
        (tmp_path / one["video"]).touch()
    source = Source(json=str(tmp_path / "mtqa.json"))
    samples, failures = load_samples((source,))
    assert failures == []
    assert len(samples) == len(dialogues)
    said = samples[place]["conversations"][7]["value"]
    (interval,) = find_intervals(said, 60.0, grid=1000)
    marks = first["meta"]["token"]
    assert interval == pytest.approx((marks["<s4>"], marks["<e4>"]), abs=0.06)
    assert samples[place]["evidence"][3] == []  # the answer itself is a time


def test_scenes_end_a_second_early_as_in_their_files(folder):
    with (folder / "kfs_bench.csv").open(newline="") as file:
        scenes = list(csv.DictReader(file))
    asked = {row["id"] for row in _read(folder, "kfs_bench_questions.json")}
    assert {scene["id"] for scene in scenes} == asked
    assert list(scenes[0]) == ["id", "segment_id", "scene_id", "start", "end"]
    for scene in scenes:  # h:mm:ss, as their code wants it
        (_, _, start), (_, _, end) = scene["start"].split(":"), scene["end"].split(":")
        assert float(start) <= float(end)


def test_key_frames_lie_in_the_evidence(folder):
    exported = (folder / "lv_haystack.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in exported]
    lines = (folder / "benchmark.jsonl").read_text().splitlines()
    asked = {row["id"]: row for row in map(json.loads, lines)}
    for row in rows:
        rate = row["video_metadata"]["frame_rate"]
        evidence = asked[row["id"]]["evidence"]
        for frame, (start, end) in zip(
            row["frame_indexes_video"], evidence, strict=True
        ):
            assert start - 1 / rate <= frame / rate <= end + 1 / rate


def test_events_have_sentences_and_times(folder):
    rows = _read(folder, "charades_sta.json")
    lines = (folder / "charades_sta_test.txt").read_text().splitlines()
    assert len(lines) == len(rows)
    name, start, end = lines[0].split("##")[0].split()
    assert rows[0]["timestamp"] == [float(start), float(end)]
    assert rows[0]["video"] == f"{name}.mp4"
    assert rows[0]["caption"].endswith("appears.")


def test_conversations_are_those_of_training(folder):
    rows = _read(folder, "llava.json")
    assert rows[0]["conversations"][0]["from"] == "human"
    samples, failures = load_samples((Source(json=str(folder / "llava.json")),))
    assert (len(samples), failures) == (len(rows), [])


def test_the_task_of_lmms_eval_judges_letters_and_texts(folder):
    functions: dict = {}
    exec((folder / "task/utils.py").read_text(), functions)
    row = {"options": ["A. yes", "B. no"], "answer": "B", "question": "Is it?"}
    row["video"] = "videos/x.mp4"
    judge = functions["process_results"]
    assert [
        judge(row, [one])["accuracy"] for one in ("B", "(B) no", "No.", "Blue", "")
    ] == [*(1.0, 1.0, 1.0, 0.0, 0.0)]
    assert functions["doc_to_messages"](row)[0]["content"][0]["type"] == "video"


def test_the_card_says_what_is_right_without_looking(folder):
    card = (folder / "README.md").read_text()
    assert "seeds 700 to 701" in card
    assert "| oracle | 100.0 |" in card
    kinds = [
        row[1].strip()
        for row in csv.reader(card.splitlines(), delimiter="|")
        if len(row) > 4
    ]
    assert {"needle", "count", "when"} <= set(kinds)
    blind = [row.split("|")[4] for row in card.splitlines() if row[:10] == "| presence"]
    assert 0 <= float(blind[0].split()[0]) < 100


def test_two_runs_give_the_same_bytes(folder, tmp_path):
    again = export_world(tmp_path, "charades-sta", **ARGUMENTS)
    first, second = _bytes(folder), _bytes(again)
    assert {name: first[name] for name in second} == second


class _Rater:
    """Has a second to look at of each video."""

    def index(self, video, *, fps):
        assert (fps, Path(video).is_file()) == (1.0, True)
        return SimpleNamespace(features=SimpleNamespace(pts_seconds=torch.arange(24)))


def test_rules_that_see_nothing_say_no(folder, monkeypatch):
    monkeypatch.setattr(rules, "frame_rater", lambda model: lambda i: _see_nothing)
    rows = read_questions(folder)
    ruled = answer_by_rules(rows, folder, _Rater())
    asked = [row for row in rows if row["kind"] in rules.RULE_KINDS]
    assert [r["id"] for r in ruled] == [r["id"] for r in asked]
    presence = [r for r in ruled if r["kind"] == "presence"]
    assert all(r["right"] == (r["answer"] == r["truth"] == "no") for r in presence)
    card = write_card(rows, folder, "llava", [], 700, 2, NARROW, ruled)
    share = 100 * sum(r["right"] for r in presence) / len(presence)
    assert f"| presence | {share:.1f}" in card
    assert "## Rules" in card


def _see_nothing(question):
    return torch.zeros(24)


def test_rules_are_for_the_narrow_world(tmp_path):
    with pytest.raises(ValueError, match="rules know the narrow world alone; leave"):
        export_world(
            tmp_path, "llava", **ARGUMENTS, world=World(wide=True), rater=_Rater()
        )


ALONE = """
import os, sys
from dynfocus.evaluation.benchmarks.world_export import export_world
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[: int(sys.argv[2])])
export_world(sys.argv[1], "video-mme", num_videos=1, duration=12.0, seed=700)
"""
LESS = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA"}
"""The C library without vectors; x264 is kept off AVX-512, and cannot be kept off AVX2."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cores", "environment"), [(1, {}), (2, {"OMP_NUM_THREADS": "2"}), (2, LESS)]
)
def test_cores_threads_and_vectors_change_no_byte(tmp_path, cores, environment):
    program = [sys.executable, "-W", "ignore", "-c", ALONE, str(tmp_path / "b")]
    known = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    subprocess.run([*program, str(cores)], env=known, check=True)
    export_world(tmp_path / "a", "video-mme", num_videos=1, duration=12.0, seed=700)
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b")


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the format must be one of lmms-eval, llava"):
        export_world(tmp_path, "imagenet", **ARGUMENTS)
