"""Recipes: all that ship load, and whatever is wrong is said in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dynfocus.focus import FocusSettings
from dynfocus.training import TASKS, load_recipe, load_recipes, run_recipe
from dynfocus.training.stages import StageRecipe
from dynfocus.training.starting import ModelSettings

RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_says_how_to_run_it(path):
    recipes = load_recipes(path)
    name = path.stem.split("-", 1)[-1] if path.stem[0].isdigit() else path.stem
    assert recipes[-1].output == f"runs/{path.parent.name}/{name}"
    assert all(isinstance(r, TASKS[r.task].recipe) for r in recipes)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# dynfocus train recipes/{path.parent.name}/{path.name}"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_resolved_recipe_is_a_recipe(path, tmp_path):
    for recipe in load_recipes(path):
        copy = tmp_path / "copy.yaml"
        copy.write_text(recipe.to_yaml(), encoding="utf-8")
        assert load_recipe(copy) == recipe
        assert "optimizer" in yaml.safe_load(recipe.to_yaml())["schedule"]


def test_what_is_left_out_has_its_default(write_stage):
    recipe = load_recipe(write_stage())
    assert isinstance(recipe, StageRecipe)
    assert recipe.seed == 0
    assert recipe.model is recipe.lora is recipe.evidence is None
    assert recipe.schedule.optimizer == "adamw"


def test_overrides_change_and_add(write_stage):
    path = write_stage(start={"vision_tower": "a", "language_model": "b"})
    recipe = load_recipe(
        path,
        [
            "schedule.num_steps=7",
            "seed=3",
            "data.sources=[{world_logs: {num_logs: 2}}]",
            "model.focus.num_prototypes=4",
            "output=a=b",
        ],
    )
    assert recipe.schedule.num_steps == 7
    assert recipe.seed == 3
    assert recipe.data.fps == 1.0
    assert recipe.data.sources[0].world_logs.num_logs == 2
    assert recipe.model == ModelSettings(focus=FocusSettings.paper(num_prototypes=4))
    assert recipe.output == "a=b"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("num_steps", r"override 'num_steps' must look like schedule\.num_steps=100"),
        ("=3", "override '=3' must look like"),
        ("task.name=3", "override 'task.name=3': task is not a group of settings"),
        ("seed=[1", r"override 'seed=\[1': the value is not valid YAML: "),
        (
            "sede=1",
            "there is no 'sede'; accepted are task, output, schedule, seed, start",
        ),
        (
            "schedule.steps=1",
            "there is no 'schedule.steps'; accepted are batch_size, learning",
        ),
        ("schedule.num_steps=0", "schedule.num_steps must be at least 1, got 0"),
        ("schedule.num_steps=2.5", "num_steps must be a whole number, got 2.5"),
        ("schedule.num_steps=many", "num_steps must be a whole number, got 'many'"),
        ("schedule.num_steps=true", "num_steps must be a whole number, got True"),
        ("schedule.batch_size=-1", "schedule.batch_size must be at least 1, got -1"),
        ("schedule.save_every=0", "schedule.save_every must be at least 1, got 0"),
        ("schedule.log_every=0", "schedule.log_every must be at least 1, got 0"),
        ("schedule.learning_rate=0", "schedule.learning_rate must be above 0, got 0"),
        (
            "schedule.learning_rate=.nan",
            "learning_rate must be a finite number, got nan",
        ),
        (
            "schedule.learning_rate=1e-3",
            r"schedule.learning_rate must be a number, got '1e-3'",
        ),
        (
            "schedule.precision=float16",
            "precision must be one of 'auto', 'float32' or 'bfloat16', got 'float16'",
        ),
        (
            "schedule.schedule=step",
            "schedule must be one of 'cosine', 'linear' or 'constant', got 'step'",
        ),
        (
            "schedule.optimizer=sgd",
            "optimizer must be one of 'adamw' or 'muon', got 'sgd'",
        ),
        (
            "schedule.attention=flash",
            "attention must be one of 'sdpa', 'eager' or 'flash_attention_2', got 'flash'",
        ),
        (
            "schedule.sharding=zero4",
            "sharding must be one of 'none', 'fsdp2', 'zero1', 'zero2' or 'zero3', got 'zero4'",
        ),
        (
            "schedule.report_to=mlflow",
            "report_to must be one of 'none', 'tensorboard' or 'wandb', got 'mlflow'",
        ),
        (
            "schedule.num_epochs=1",
            "must give either num_steps or num_epochs, got 2 and 1",
        ),
        (
            "schedule.num_steps=null",
            "must give either num_steps or num_epochs, got None and None",
        ),
        (
            "schedule.total_batch_size=0",
            "schedule.total_batch_size must be at least 1, got 0",
        ),
        (
            "schedule.gradient_checkpointing=1",
            "gradient_checkpointing must be true or false, got 1",
        ),
        (
            "schedule.learning_rates={scores: 0}",
            "schedule.learning_rates.scores must be above 0, got 0",
        ),
        (
            "schedule.learning_rates={scores: 1e-3}",
            "schedule.learning_rates.scores must be a number, got '1e-3'",
        ),
        (
            "schedule.frozen_precision=bfloat16",
            "frozen_precision bfloat16 needs precision bfloat16, got float32",
        ),
        (
            "schedule.offload=true",
            "schedule.offload needs sharding fsdp2, zero2 or zero3, got none",
        ),
        ("schedule=5", "schedule must be a mapping, got 5"),
        ("seed=one", "seed must be a whole number, got 'one'"),
        ("output=3", "output must be a text, got 3"),
        ("data=[1]", r"data must be a mapping, got \[1\]"),
        ("start=", "start must be a mapping, got None"),
    ],
)
def test_wrong_settings_are_refused(write_stage, override, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_recipe(write_stage(), [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: [", "is not valid YAML: "),
        ("- task", "must be a mapping of settings, such as 'task: stage1'"),
        ("", "must be a mapping of settings"),
        ("task: vision\noutput: a\n", "schedule is missing; accepted are task, output"),
        ("output: a\nschedule: {}\n", "task must be one of .*, got None"),
        (
            "task: vision\noutput: a\nschedule: {num_steps: 1, batch_size: 1}\n",
            "schedule.learning_rate is missing; accepted are batch_size, learning_rate",
        ),
    ],
)
def test_files_that_are_no_recipes_are_refused(tmp_path, text, message):
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    path = tmp_path / "a.yaml"
    with pytest.raises(FileNotFoundError, match="does not exist: name a YAML file"):
        load_recipe(path)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match="is not valid YAML"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["schedule.learning_rates={scores: 0.1}", "schedule.optimizer=muon"],
            "learning_rates needs optimizer adamw, got muon",
        ),
    ],
)
def test_settings_that_exclude_each_other_are_refused(write_stage, overrides, message):
    with pytest.raises(ValueError, match=message):
        load_recipe(write_stage(), overrides)


def test_tasks_that_draw_their_samples_need_steps(write_recipe, tmp_path):
    path = write_recipe(task="language", schedule={"num_steps": None, "num_epochs": 1})
    with pytest.raises(ValueError, match="num_steps must be given: this task draws"):
        run_recipe(path)
    assert not (tmp_path / "out").exists()
