"""Training: recipes in YAML, one loop, the paper's stages, and what nano needs besides."""

from dynfocus.training.recipe import Recipe, Schedule
from dynfocus.training.tasks import TASKS, load_recipe, load_recipes, run_recipe

__all__ = ["TASKS", "Recipe", "Schedule", "load_recipe", "load_recipes", "run_recipe"]
