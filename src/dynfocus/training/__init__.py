"""Training: recipes in YAML, one loop, the stages of the paper and what nano needs before them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dynfocus.training.connectors import make_connector_job
from dynfocus.training.loop import train
from dynfocus.training.nano.language import make_language_job
from dynfocus.training.nano.scorer import make_scorer_job
from dynfocus.training.nano.vision import make_vision_job
from dynfocus.training.recipe import Recipe, Schedule, load_recipe
from dynfocus.training.relevance import make_relevance_job
from dynfocus.training.rods import make_rods_job
from dynfocus.training.selection import make_selection_job
from dynfocus.training.stages import make_stage_1_job, make_stage_2_job

TASKS = {
    "vision": make_vision_job,
    "language": make_language_job,
    "stage1": make_stage_1_job,
    "stage2": make_stage_2_job,
    "connector": make_connector_job,
    "scorer": make_scorer_job,
    "selection": make_selection_job,
    "rods": make_rods_job,
    "relevance": make_relevance_job,
}

__all__ = ["TASKS", "Recipe", "Schedule", "load_recipe", "run_recipe"]


def run_recipe(
    path: str | Path, overrides: Sequence[str] = (), *, resume: bool = True
) -> Path:
    """Run the recipe in a YAML file and return its output folder.

    Args:
        path: The recipe.
        overrides: Changes such as ``schedule.num_steps=2``.
        resume: Continue from the last checkpoint in the output folder, if there is one.

    Raises:
        ValueError: If the recipe holds something wrong.
    """
    recipe = load_recipe(path, overrides)
    if recipe.task not in TASKS:
        raise ValueError(
            f"recipe {path}: task must be one of {', '.join(sorted(TASKS))}, got {recipe.task!r}"
        )
    return train(recipe, TASKS[recipe.task], resume=resume)
