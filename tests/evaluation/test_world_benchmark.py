import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from dynfocus.evaluation import (
    WorldBenchmark,
    run_world_benchmark,
    selection_recall,
    summarise,
    write_results,
)
from dynfocus.evaluation.benchmarks.focusworld import PAIRS
from dynfocus.models import Answer, FrameReport
from dynfocus.world import make_questions, make_scene

PLAN = WorldBenchmark(num_videos=2, seconds=(12.0, 14.0), max_per_kind=2)


class Oracle:
    """Knows every answer; its first frame is the only Cone."""

    name = "oracle"

    def __init__(self) -> None:
        self.videos: list[str] = []
        self.truths: dict[str, str] = {}
        self.model = torch.nn.Linear(2, 2)

    def index(self, path, *, fps):
        self.videos.append(path.name)
        assert path.is_file()
        assert fps == 1.0
        times = torch.arange(4.0).double()
        return SimpleNamespace(
            num_frames=4, features=SimpleNamespace(pts_seconds=times)
        )

    def ask(self, index, question, *, max_video_tokens):
        frames = [
            FrameReport(index=i, time=float(i), score=0.0, kind=kind, tokens=2)
            for i, kind in enumerate(["cone", "rod", "rod", "rod"])
        ]
        text = self.truths.get(question, "nonsense")
        return Answer(text=text, question=question, tokens=8, frames=frames, seconds=1)


@pytest.fixture
def oracle():
    model = Oracle()
    for seed in (0, 1):
        for seconds in (12.0, 13.0, 14.0):
            for question in make_questions(make_scene(seed, seconds, "test")):
                model.truths[question.question] = question.answer
    return model


def test_what_is_right_is_counted_and_kept(oracle, tmp_path):
    path = tmp_path / "a" / "answers.jsonl"
    seen = []
    records = run_world_benchmark(oracle, PLAN, path, lambda d, t: seen.append((d, t)))
    assert seen == [(1, 2), (2, 2)]
    assert len(path.read_text().splitlines()) == 1 + len(records)
    rows = summarise(records)
    assert sum(row["questions"] for k, row in rows.items() if k in _kinds(records)) == (
        len(records)
    )
    assert rows[PAIRS]["questions"] == rows["presence"]["questions"] / 2
    assert 0 < rows["needle"]["accuracy"] <= 1
    assert selection_recall(records)["cone_share"] == 0.25


def _kinds(records):
    return {record["kind"] for record in records}


def test_a_run_that_stopped_continues(oracle, tmp_path):
    path = tmp_path / "answers.jsonl"
    run_world_benchmark(oracle, replace(PLAN, num_videos=2), path)
    lines = path.read_text().splitlines()
    first = [line for line in lines[1:] if json.loads(line)["seed"] == 0]
    path.write_text("\n".join([lines[0], *first]) + "\n")
    oracle.videos.clear()
    run_world_benchmark(oracle, PLAN, path)
    assert len(oracle.videos) == 1
    again = path.read_text().splitlines()
    assert [json.loads(x)["question"] for x in again[1:]] == [
        json.loads(x)["question"] for x in lines[1:]
    ]


def test_answers_of_another_run_are_refused(oracle, tmp_path):
    path = tmp_path / "answers.jsonl"
    run_world_benchmark(oracle, PLAN, path)
    with pytest.raises(ValueError, match="belongs to a run with other settings"):
        run_world_benchmark(oracle, replace(PLAN, seed=5), path)
    oracle.model.weight.data[0] += 1  # trained further under the same name
    with pytest.raises(ValueError, match="with other settings or another model"):
        run_world_benchmark(oracle, PLAN, path)
    path.write_text("nonsense\n")
    with pytest.raises(ValueError, match="is not an answers file of this benchmark"):
        run_world_benchmark(oracle, PLAN, path)


def test_twins_count_only_together():
    record = {"kind": "presence", "chance": 0.5, "held_out": False}
    pairs = [(True, True), (True, False), (False, True), (False, False)]
    records = [{**record, "right": right} for pair in pairs for right in pair]
    rows = summarise(records)
    assert rows["presence"]["accuracy"] == 0.5
    assert rows[PAIRS]["accuracy"] == 0.25


def test_results_name_what_made_them(oracle, tmp_path):
    records = run_world_benchmark(oracle, PLAN, tmp_path / "a.jsonl")
    page = write_results(tmp_path, "name", "dynfocus eval x", "c" * 40, PLAN, records)
    text = page.read_text()
    assert "`dynfocus eval x`, commit cccccccccccc" in text
    assert "| needle |" in text
    document = json.loads((tmp_path / "name.json").read_text())
    assert document["command"] == "dynfocus eval x"
    assert document["benchmark"]["seconds"] == [12.0, 14.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_videos": 0}, "num_videos must be 1 or more, got 0"),
        ({"seconds": (9.0, 5.0)}, "seconds must go from low to high, got 9 to 5"),
    ],
)
def test_a_plan_checks_itself(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PLAN, **changes)


def test_recall_stands_beside_that_of_as_many_even_frames(oracle, tmp_path):
    def row(kind, seen, uniform):
        return {
            "kind": kind,
            "evidence_seen": seen,
            "uniform_seen": uniform,
            "cone_share": 0.25,
        }

    records = [row("needle", True, False), row("count", False, True)]
    assert selection_recall([*records, row("topic", None, None)]) == {
        "evidence_recall": 0.5,
        "uniform_recall": 0.5,
        "needle_recall": 1.0,
        "needle_uniform_recall": 0.0,
        "cone_share": 0.25,
    }
    scenes = {
        (r["seed"], r["duration"])
        for r in run_world_benchmark(oracle, PLAN, tmp_path / "a.jsonl")
    }
    truths = {
        (seed, q.question): q.evidence
        for seed, seconds in scenes
        for q in make_questions(make_scene(seed, seconds, "test"))
    }
    for record in run_world_benchmark(oracle, PLAN, tmp_path / "a.jsonl"):
        evidence = truths[record["seed"], record["question"]]
        # the oracle's only Cone is at 0 s of 0 to 3 s; one even frame of 4 is at 2 s
        for name, time in (("evidence_seen", 0.0), ("uniform_seen", 2.0)):
            expected = any(a <= time < b for a, b in evidence) if evidence else None
            assert record[name] == expected
