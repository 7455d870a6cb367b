"""Evidence recall: what is counted, and the page that shows it."""

from __future__ import annotations

import json

import pytest

from dynfocus.evaluation import write_page
from dynfocus.evaluation.benchmarks import WorldBenchmark
from dynfocus.evaluation.experiments.recall import (
    CLUSTERING,
    UNIFORM,
    RecallPlan,
    check_sources,
    measure_recall,
    summarise,
)

ASKED = WorldBenchmark(name="short", num_videos=1, seconds=(20.0, 24.0), max_per_kind=1)


def make_plan(**changes):
    return RecallPlan(
        **{
            "models": {"nano": "nano"},
            "sets": (ASKED,),
            "num_cones": (1, 4, 64),
            "num_prototypes": (4, 64),
        }
        | changes
    )


@pytest.fixture(scope="module")
def measured():
    plan = make_plan()
    return plan, measure_recall(plan, lambda text: None)


def test_every_selection_is_asked_every_question(measured):
    plan, records = measured
    counts = {}
    for record in records:
        key = (record["selection"], record["num_prototypes"])
        counts[key] = counts.get(key, 0) + 1
    assert set(counts) == {
        (UNIFORM, 0),
        *((name, count) for name in (CLUSTERING, "nano") for count in (4, 64)),
    }
    assert len(set(counts.values())) == 1


def test_more_cones_never_see_less_and_all_frames_see_all(measured):
    plan, records = measured
    for record in records:
        if record["selection"] != UNIFORM:
            assert record["hits"] == sorted(record["hits"])
        if record["num_prototypes"] == 64:
            assert record["hits"][-1], record  # every frame is a prototype
    rows = summarise(records, plan)["rows"]
    every = [row for row in rows if row["num_prototypes"] == 64]
    assert all(row["recall"][-1]["value"] == 100 for row in every)
    assert all(row["share"][-1] == 100 for row in every)
    few = next(r for r in rows if r["num_prototypes"] == 4)
    assert few["share"][1] == few["share"][2] < 25


def test_a_page_holds_a_table_and_where_it_came_from(measured, tmp_path):
    plan, records = measured
    found = summarise(records, plan)
    made = {"command": "dynfocus eval recall", "commit": "a" * 40}
    page = write_page(tmp_path, "recall", found, **made)
    text = page.read_text()
    assert "`dynfocus eval recall`, commit aaaaaaaaaaaa" in text
    assert "| even frames | - |" in text
    assert "| nano | 4 |" in text
    assert json.loads((tmp_path / "recall.json").read_text())["plan"]["num_cones"] == [
        1,
        4,
        64,
    ]
    assert (tmp_path / "recall.png").stat().st_size > 10_000


def test_wrong_plans_are_refused():
    with pytest.raises(ValueError, match="sets must hold at least one entry"):
        make_plan(sets=())
    with pytest.raises(ValueError, match="num_cones.0 must be at least 1, got 0"):
        make_plan(num_cones=(0,))
    with pytest.raises(ValueError, match="model b: folder nowhere does not exist"):
        check_sources({"a": "nano", "b": "nowhere"})
