"""What remains of a plugged model's accuracy: what is asked, counted and written."""

from __future__ import annotations

import json

import pytest
import torch

from dynfocus.conversion.exporting import save_host
from dynfocus.evaluation import write_page
from dynfocus.evaluation.benchmarks import WorldBenchmark
from dynfocus.evaluation.experiments.plugged import (
    FULL,
    WAYS,
    PluggedPlan,
    measure_plugged,
    summarise,
)
from dynfocus.models.loading import load_parts
from dynfocus.training.starting import ModelSettings, connect


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """Write nano as a LLaVA-OneVision that has never learned to be one."""
    folder = tmp_path_factory.mktemp("host")
    model, processor = load_parts("nano", device="cpu", dtype=torch.float32)
    own = ModelSettings(connector="llava_onevision")
    connected, _ = connect(model, processor, own)
    return save_host(connected, processor, folder)


def make_plan(host, fps=1.0, **changes):
    asked = WorldBenchmark(
        name="short",
        num_videos=1,
        seconds=(20.0, 24.0),
        max_per_kind=1,
        kinds=("needle", "presence", "topic"),
        fps=fps,
    )
    given = {"sets": (asked,), "shares": (0.25, 0.5), "max_frames": 20}
    given["methods"] = ("uniform", "scenetilling")
    return PluggedPlan(**{"host": str(host)} | given | changes)


@pytest.fixture(scope="module")
def measured(host, tmp_path_factory):
    plan = make_plan(host)
    answers = tmp_path_factory.mktemp("answers") / "answers.jsonl"
    return plan, answers, measure_plugged(plan, answers)


def test_every_question_is_asked_with_all_tokens_and_in_every_way(measured):
    plan, _, records = measured
    asked = [way.label for way in WAYS if not way.sees_question] + ["scenetilling"]
    ways = [FULL] + [label for label in asked for _ in plan.shares]
    per_question = len(ways)
    assert len(records) % per_question == 0
    for start in range(0, len(records), per_question):
        group = records[start : start + per_question]
        assert [record["way"] for record in group] == ways
        assert len({record["question"] for record in group}) == 1


def test_no_way_spends_more_than_its_share_of_all_tokens(measured):
    _, _, records = measured
    full = {r["video"]: r["tokens"] for r in records if r["way"] == FULL}
    assert set(full.values()) == {20 * 16 + 1}
    for record in records:
        assert record["tokens"] <= record["share"] * full[record["video"]]
        assert record["tokens"] > (record["share"] - 0.06) * full[record["video"]]


def test_a_run_continues_and_refuses_the_answers_of_another(measured, host):
    plan, answers, records = measured
    lines = answers.read_text().splitlines()
    answers.write_text("\n".join(lines[:-3]) + "\n")
    done = []
    again = measure_plugged(plan, answers, lambda now, whole: done.append(now))
    assert done == [len(records) - 2, len(records) - 1, len(records)]
    assert [r["answer"] for r in again] == [r["answer"] for r in records]
    with pytest.raises(ValueError, match="other settings"):
        measure_plugged(make_plan(host, fps=0.5), answers)


def test_what_is_kept_is_counted_against_all_tokens():
    plan = make_plan("x", shares=(0.5,))
    base = {"set": "short", "kind": "needle", "tokens": 100, "evidence_seen": True}
    base |= {"video": 0, "question": "What letter?", "truth": "N"}
    base |= {"fine_times": [1.0, 9.0], "evidence": [(0.0, 2.0)]}
    records = [
        {**base, "way": FULL, "share": 1.0, "right": right, "seconds": 2.0}
        for right in (True, True, True, False)
    ]
    for label in (way.label for way in plan.ways):
        records += [
            {**base, "way": label, "share": 0.5, "right": right, "seconds": 0.5}
            | {"tokens": 50, "evidence_seen": right}
            for right in (True, True, False, False)
        ]
    full, focused, *_ = summarise(records, plan)["rows"]
    assert focused["unified"] == pytest.approx(100 * 0.5 ** (1 / 3))
    assert (full["accuracy"]["value"], full["kept"], full["faster"]) == (75, 100, 1)
    assert focused["accuracy"]["value"] == 50
    assert focused["difference"]["value"] == -25
    assert focused["kept"] == pytest.approx(200 / 3)
    assert focused["faster"] == 4
    assert focused["recall"] == 50
    assert focused["accuracies"] == {"needle": 50}


def test_a_page_holds_a_table_and_where_it_came_from(measured, tmp_path):
    plan, _, records = measured
    found = summarise(records, plan)
    made = {"command": "dynfocus eval plugged X", "commit": "a" * 40}
    page = write_page(tmp_path, "plugged", found, **made)
    text = page.read_text()
    assert "`dynfocus eval plugged X`, commit aaaaaaaaaaaa" in text
    assert "| all tokens | 321 |" in text
    assert "| even frames, 25 % |" in text
    assert "| scenetilling, 50 % |" in text
    assert "| evidence | UKSS |" in text
    assert json.loads(page.with_suffix(".json").read_text())["plan"]["max_frames"] == 20
    assert page.with_suffix(".png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shares": (1.0,)}, "between 0 and 1, got 1"),
        ({"shares": ()}, "at least one entry"),
        ({"methods": ("magic",)}, "method must be one of air, .*, got 'magic'"),
        ({"methods": ("mdp3",)}, "method 'mdp3' chooses frames by .*; give a scorer"),
    ],
)
def test_a_wrong_plan_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        make_plan("x", **changes)


@pytest.mark.parametrize("host", ["nano", "no/such/folder"])
def test_a_run_that_cannot_begin_leaves_nothing(tmp_path, host):
    answers = tmp_path / "answers.jsonl"
    with pytest.raises(ValueError, match=f"'{host}' is no vision language model"):
        measure_plugged(make_plan(host), answers)
    assert not answers.exists()
