"""From a file or a folder to recipes: phases, order, tasks that are not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dynfocus.training import load_recipe, load_recipes, run_recipe

DOCS = Path(__file__).parents[2] / "docs"


def test_phases_follow_each_other(write_stage):
    path = write_stage(
        output="runs/x",
        start={"vision_tower": "a", "language_model": "b"},
        model={"question_first": True},
        phases=[
            {"schedule": {"num_steps": 5}},
            {"schedule": {"num_steps": 6}, "layout": {"shift_clock": True}},
            {},
        ],
    )
    recipes = load_recipes(path, ["seed=4"])
    assert [r.output for r in recipes] == ["runs/x/phase-1", "runs/x/phase-2", "runs/x"]
    assert [r.schedule.num_steps for r in recipes] == [5, 6, 2]
    assert [r.layout.shift_clock for r in recipes] == [False, True, False]
    assert [r.start.model for r in recipes] == [
        None,
        "runs/x/phase-1/model",
        "runs/x/phase-2/model",
    ]
    assert [r.model is None for r in recipes] == [False, True, True]
    assert {r.seed for r in recipes} == {4}
    short = load_recipes(path, ["schedule.num_steps=1", "output=here"])
    assert {r.schedule.num_steps for r in short} == {1}
    assert short[-1].output == "here"
    with pytest.raises(ValueError, match="has 3 phases, and one is wanted"):
        load_recipe(path)
    with pytest.raises(ValueError, match="phases must be a list of groups of settings"):
        load_recipes(write_stage(phases=["long"]))


def test_a_folder_of_recipes_is_read_in_the_order_of_names(write_stage, tmp_path):
    for name in ("2-b.yaml", "1-a.yaml"):
        write_stage(name=name, output=name[0])
    assert [r.output for r in load_recipes(tmp_path)] == ["1", "2"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty holds no recipe"):
        load_recipes(tmp_path / "empty")


def test_an_unknown_task_is_refused_before_anything_is_written(write_recipe, tmp_path):
    path = write_recipe(task="stage9")
    known = "language, scorer, stage1, stage2, vision"
    with pytest.raises(ValueError, match=f"task must be one of {known}, got 'stage9'"):
        run_recipe(path)
    assert not (tmp_path / "out").exists()


def test_recipes_in_the_documents_are_recipes(tmp_path):
    found = 0
    for page in sorted(DOCS.glob("*.md")):
        blocks = re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        for block in blocks:
            if "task:" in block:
                path = tmp_path / "recipe.yaml"
                path.write_text(block, encoding="utf-8")
                assert load_recipes(path)
                found += 1
    assert found
