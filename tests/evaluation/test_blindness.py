"""Without the video nobody gets more than the design gives away."""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from dynfocus.evaluation.blindness import TOLERANCE, measure_blindness
from dynfocus.world.wide import (
    balance,
    facts_of,
    make_groups,
    make_questions,
    make_wide_scene,
)

NUM_VIDEOS = 60


@cache
def asked():
    scenes = [make_wide_scene(seed, 150.0) for seed in range(NUM_VIDEOS)]
    return [q for scene in scenes for q in make_questions(facts_of(scene))]


@cache
def rows():
    found = balance(asked()) + make_groups(asked())
    return {row.kind: row for row in measure_blindness(found)}


def test_no_kind_gives_its_answers_away():
    assert len(rows()) >= 20
    for row in rows().values():
        assert row.is_balanced, row
        assert row.to_dict()["is_balanced"]


@pytest.mark.parametrize(
    ("kind", "design"),
    [
        ("needle", 100 / 26),
        ("action", 25),
        ("order", 50),
        ("where", 25),
        ("claim", 50),
        ("count", 100 / 7),
    ],
)
def test_the_best_constant_answer_gets_its_share_and_two_points_at_most(kind, design):
    assert rows()[kind].design == pytest.approx(design)
    assert rows()[kind].constant.value <= design + TOLERANCE


def test_a_constant_answer_gets_no_pair():
    for kind in ("presence pairs", "absent pairs", "unanswerable pairs"):
        assert rows()[kind].constant.value == 0


def test_what_is_not_balanced_is_found_out():
    found = {row.kind: row for row in measure_blindness(asked())}
    assert not found["count"].is_balanced
    assert found["count"].constant.value > 100 / 7 + TOLERANCE


def test_words_that_give_the_answer_away_are_found_out():
    told = [
        replace(
            q, question=f"{q.question} Not {'right' if q.answer == 'left' else 'left'}."
        )
        for q in balance(asked())
        if q.kind == "direction"
    ]
    (row,) = measure_blindness(told)
    assert row.constant.value < 55
    assert row.blind.value > 90
    assert not row.is_balanced


def test_the_command_prints_a_row_a_kind(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    blindness = importlib.import_module("blindness")
    assert blindness.main(["--videos", "40"]) == 0
    printed = capsys.readouterr().out
    assert "| needle |" in printed
    assert "| groups |" in printed
    assert "above the design: none" in printed
