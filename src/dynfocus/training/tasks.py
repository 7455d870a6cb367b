"""What can be trained, by name, and the way from a YAML file to a finished run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from dynfocus.text import check_choice
from dynfocus.training.loop import Job, train
from dynfocus.training.nano.language import LanguageRecipe, make_language_job
from dynfocus.training.nano.scorer import ScorerRecipe, make_scorer_job
from dynfocus.training.nano.vision import VisionRecipe, make_vision_job
from dynfocus.training.recipe import Recipe, apply_override, read_tree
from dynfocus.training.stages import StageRecipe, make_stage_job
from dynfocus.validation import from_mapping


class Task(NamedTuple):
    """Something that can be trained."""

    recipe: type[Recipe]
    """What a recipe of it holds."""
    make_job: Callable[[Any], Job]
    """Builds what the loop needs from such a recipe."""


TASKS: dict[str, Task] = {
    "vision": Task(VisionRecipe, make_vision_job),
    "language": Task(LanguageRecipe, make_language_job),
    "stage1": Task(StageRecipe, make_stage_job),
    "stage2": Task(StageRecipe, make_stage_job),
    "scorer": Task(ScorerRecipe, make_scorer_job),
}
"""All tasks by name."""


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read the only recipe of a file, apply ``key.sub=value`` overrides and check it.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not one recipe, or holds an unknown key or a bad value.
    """
    recipes = load_recipes(path, overrides)
    if len(recipes) != 1:
        raise ValueError(f"recipe {path} has {len(recipes)} phases, and one is wanted")
    return recipes[0]


def load_recipes(path: str | Path, overrides: Sequence[str] = ()) -> list[Recipe]:
    """Read the recipes of a file, one a phase, or of a folder, in the order of names.

    Each entry of ``phases`` changes what stands in the rest of the file, and starts from
    the model that the phase before it made. The last writes into ``output``, the others
    into folders of it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a recipe holds an unknown key or a bad value.
    """
    if Path(path).is_dir():
        files = sorted(Path(path).glob("*.yaml"))
        if not files:
            raise FileNotFoundError(
                f"{path} holds no recipe, a file that ends in .yaml"
            )
        return [recipe for file in files for recipe in load_recipes(file, overrides)]
    tree = read_tree(path, overrides)
    phases = tree.pop("phases", None)
    if phases is None:
        return [_build(tree, path)]
    if not (isinstance(phases, list) and all(isinstance(p, dict) for p in phases)):
        raise ValueError(
            f"recipe {path}: phases must be a list of groups of settings, got {phases!r}"
        )
    return [_build(t, path) for t in _expand(tree, phases, overrides)]


def _expand(
    tree: dict[str, Any], phases: Sequence[Mapping[str, Any]], overrides: Sequence[str]
) -> list[dict[str, Any]]:
    """Write the phases of a file as recipes, each of which starts from the last."""
    trees: list[dict[str, Any]] = []
    for number, phase in enumerate(phases, 1):
        own = _merge(deepcopy(tree), phase)
        for override in overrides:
            if override.partition("=")[0].partition(".")[0] not in ("output", "start"):
                apply_override(own, override)
        if number < len(phases):
            own["output"] = f"{tree.get('output')}/phase-{number}"
        if trees:
            own["start"] = {"model": f"{trees[-1]['output']}/model"}
            own.pop("model", None)
        trees.append(own)
    return trees


def _merge(tree: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(tree.get(name), dict):
            value = _merge(tree[name], value)
        tree[name] = value
    return tree


def _build(tree: Mapping[str, Any], path: str | Path) -> Recipe:
    check_choice(tree.get("task"), f"recipe {path}: task", sorted(TASKS))
    try:
        return from_mapping(TASKS[tree["task"]].recipe, tree)
    except ValueError as error:
        raise ValueError(f"recipe {path}: {error}") from error


def run_recipe(
    path: str | Path, overrides: Sequence[str] = (), *, resume: bool = True
) -> Path:
    """Run the recipes of a file or a folder and return the last output folder.

    Args:
        path: The recipe, or a folder of recipes that belong together.
        overrides: Changes such as ``schedule.num_steps=2``.
        resume: Continue from the last checkpoint in the output folder, if there is one.

    Raises:
        FileNotFoundError: If a file or a folder that a recipe names is missing.
        ImportError: If a setting needs a package that is not installed.
        ValueError: If a recipe holds something wrong.
        TooManyFailuresError: If more samples cannot be read than a recipe allows.
    """
    recipes = load_recipes(path, overrides)
    for recipe in recipes:
        output = train(recipe, TASKS[recipe.task].make_job, resume=resume)
    return output
