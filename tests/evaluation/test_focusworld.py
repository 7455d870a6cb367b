"""FocusWorld as a benchmark: what is asked, kept, counted and written."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import dynfocus
from dynfocus.evaluation import write_page
from dynfocus.evaluation.benchmarks import (
    WorldBenchmark,
    run_world_benchmark,
    selection_recall,
    summarise,
)
from dynfocus.evaluation.benchmarks.focusworld import HELD_OUT, PAIRS
from dynfocus.models import Answer, FrameReport
from dynfocus.world import World, make_questions, make_scene

PLAN = WorldBenchmark(num_videos=2, seconds=(12.0, 14.0), max_per_kind=2)


class Oracle:
    """Knows every answer; its first frame is the only Cone."""

    name = "oracle"

    def __init__(self) -> None:
        self.videos: list[str] = []
        self.truths: dict[str, str] = {}
        self.model = torch.nn.Linear(2, 2)

    def index(self, path, *, fps, max_frames, progress, **excerpt):
        self.videos.append(path.name)
        assert path.is_file()
        assert (fps, max_frames) == (1.0, None)
        times = torch.arange(4.0).double()
        return SimpleNamespace(
            num_frames=4, features=SimpleNamespace(pts_seconds=times)
        )

    def ask(self, index, question, **options):
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
    records = run_world_benchmark(
        oracle, PLAN, path, lambda done, whole: seen.append((done, whole))
    )
    assert seen[-1] == (len(records), len(records))
    assert len(path.read_text().splitlines()) == 1 + len(records)
    rows = summarise(PLAN, "oracle", records)["rows"]
    of_kinds = [row for kind, row in rows.items() if kind not in (PAIRS, HELD_OUT)]
    assert sum(row["questions"] for row in of_kinds) == len(records)
    assert rows[PAIRS]["questions"] == rows["presence"]["questions"] / 2
    assert rows["needle"]["accuracy"]["value"] == 100
    assert rows["presence"]["constant"] == 50
    assert rows[PAIRS]["constant"] == 0
    assert selection_recall(records)["cone_share"] == 0.25


def test_a_run_that_stopped_continues(oracle, tmp_path):
    path = tmp_path / "answers.jsonl"
    run_world_benchmark(oracle, replace(PLAN, num_videos=2), path)
    lines = path.read_text().splitlines()
    first = [line for line in lines[1:] if "test/0?" in json.loads(line)["video"]]
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
    with pytest.raises(ValueError, match="line 1 is no record of a run"):
        run_world_benchmark(oracle, PLAN, path)


def record(kind, right, **more):
    shared = {"system": "model", "video": 0, "truth": "yes", "held_out": False}
    shared |= {"tokens": 8, "seconds": 0.1, "cone_share": 0.25}
    shared |= {"evidence_seen": None, "uniform_seen": None, "question": "Is it?"}
    return {**shared, "kind": kind, "right": right, **more}


def test_questions_without_an_answer_are_asked_again(oracle, tmp_path):
    path = tmp_path / "answers.jsonl"

    def fail(*arguments, **options):
        raise RuntimeError("no memory left")

    oracle.ask = fail
    said = r"(\d+) of \1 questions got no answer, .*: no memory left; run again"
    with pytest.raises(ValueError, match=said):
        run_world_benchmark(oracle, PLAN, path)
    del oracle.ask
    assert all("answer" in r for r in run_world_benchmark(oracle, PLAN, path))


def test_twins_count_only_together():
    pairs = [(True, True), (True, False), (False, True), (False, False)]
    records = [record("presence", right) for pair in pairs for right in pair]
    rows = summarise(PLAN, "x", records)["rows"]
    assert rows["presence"]["accuracy"]["value"] == 50
    assert rows[PAIRS]["accuracy"]["value"] == 25


def test_results_name_what_made_them_and_what_development_has_seen(oracle, tmp_path):
    records = run_world_benchmark(oracle, PLAN, tmp_path / "a.jsonl")
    found = summarise(PLAN, "oracle", records)
    made = {"command": "dynfocus eval x", "commit": "c" * 40}
    text = write_page(tmp_path, "name", found, **made).read_text()
    assert "`dynfocus eval x`, commit cccccccccccc" in text
    assert "| kind | oracle, % right | best constant answer | questions |" in text
    assert "| needle | 100.0 |" in text
    assert "not unseen by development" in text
    document = json.loads((tmp_path / "name.json").read_text())
    assert document["benchmark"]["seconds"] == [12.0, 14.0]
    fresh = summarise(replace(PLAN, seed=7_000_000), "nano", records)
    text = write_page(tmp_path, "fresh", fresh, **made).read_text()
    assert "not unseen by development" not in text
    assert "What nano was told" in text


def test_rules_on_the_rating_stand_beside_the_model(tmp_path):
    model = dynfocus.load("nano", index_folder=False)
    plan = replace(PLAN, num_videos=1, seconds=(20.0, 20.0))
    path = tmp_path / "answers.jsonl"
    records = run_world_benchmark(model, plan, path, rules=True)
    by_rule = [record for record in records if "rule" in record]
    assert {r["kind"] for r in by_rule} == {"presence", "count", "order", "when"}
    assert sum(r["rule_right"] for r in by_rule) > 0.8 * len(by_rule)
    with pytest.raises(ValueError, match="with other settings"):
        run_world_benchmark(model, plan, path)
    found = summarise(plan, "nano", records)
    made = {"command": "x", "commit": "c"}
    text = write_page(tmp_path, "name", found, **made).read_text()
    assert "| rules on the rating, no language model | difference |" in text
    assert "| needle | 100.0 | - | - |" in text
    assert "presence: the highest rating is above 0.5" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_videos": 0}, "num_videos must be at least 1, got 0"),
        ({"seconds": (9.0, 5.0)}, "seconds must go from low to high, got 9 to 5"),
    ],
)
def test_a_plan_checks_itself(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PLAN, **changes)


def test_recall_stands_beside_that_of_as_many_even_frames(oracle, tmp_path):
    seen = {"evidence_seen": True, "uniform_seen": False}
    missed = {"evidence_seen": False, "uniform_seen": True}
    records = [record("needle", True, **seen), record("count", True, **missed)]
    found = selection_recall([*records, record("topic", True)])
    assert found["cone_share"] == 0.25
    assert found["all"]["cones"]["value"] == found["all"]["even_frames"]["value"] == 50
    assert found["needle"]["cones"]["value"] == 100
    assert found["needle"]["difference"]["value"] == 100
    for asked in PLAN.addresses():
        truths = {
            f"{asked}#{number}": question.evidence
            for number, question in enumerate(make_questions(asked.scene(), 2))
        }
        records = run_world_benchmark(oracle, PLAN, tmp_path / "a.jsonl")
        for found in (r for r in records if r["video"] == str(asked)):
            evidence = truths[found["id"]]
            # the oracle's only Cone is at 0 s of 0 to 3 s; one even frame of 4 is at 2 s
            for name, time in (("evidence_seen", 0.0), ("uniform_seen", 2.0)):
                seen = any(a <= time < b for a, b in evidence) if evidence else None
                assert found[name] == seen


class WideOracle(Oracle):
    """Knows every answer about the widened world, in the wording that is asked."""

    def ask(self, index, question, **options):
        answer = super().ask(index, question, **options)
        return replace(answer, text=self.truths[index.video, question])

    def index(self, path, **options):
        index = super().index(path, **options)
        index.video = len(self.videos) - 1
        return index


@pytest.mark.parametrize("wording", ["plain", "training", "held_out"])
def test_the_widened_world_is_asked_in_the_words_that_are_wanted(wording, tmp_path):
    world = World(wide=True, unseen=("fonts",))
    plan = replace(
        PLAN, world=world, wording=wording, split="validation", seconds=(20.0, 20.0)
    )
    rows = plan.rows()
    videos = list(dict.fromkeys(row.video for row in rows))
    model = WideOracle()
    model.truths = {(videos.index(r.video), r.question): r.answer for r in rows}
    records = run_world_benchmark(model, plan, tmp_path / "answers.jsonl")
    document = summarise(plan, "oracle", records)
    assert {row["accuracy"]["value"] for row in document["rows"].values()} == {100.0}
    assert {"absent pairs", "unanswerable pairs", PAIRS} <= set(document["rows"])
    assert document["rows"][PAIRS]["constant"] == 0.0
    plain = {row.question for row in replace(plan, wording="plain").rows()}
    asked = {row.question for row in rows}
    assert (asked == plain) == (wording == "plain")
    page = write_page(tmp_path, "page", document, command="", commit="").read_text()
    assert f"The widened world, unseen fonts; wordings: {wording}." in page


def test_only_the_widened_world_has_other_wordings():
    with pytest.raises(ValueError, match="only the widened world"):
        WorldBenchmark(wording="held_out")
    kinds = ("action",)
    with pytest.raises(ValueError, match="kind must be one of needle"):
        WorldBenchmark(kinds=kinds)
    rows = WorldBenchmark(
        num_videos=4, seconds=(20.0, 30.0), world=World(wide=True), kinds=kinds
    ).rows()
    assert {row.facts["kind"] for row in rows} == {"action"}
