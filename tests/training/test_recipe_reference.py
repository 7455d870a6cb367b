"""The page of all settings says what the classes say."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynfocus.training.recipe_reference import make_reference

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"


def test_the_page_is_what_the_program_writes():
    assert PAGE.read_text(encoding="utf-8") == make_reference(), (
        "run: python -m dynfocus.training.recipe_reference docs/recipes.md"
    )


@pytest.mark.parametrize(
    "line",
    [
        "| `learning_rate` | number above 0 | - | Peak learning rate. |",
        "| `num_steps` | integer from 1 or null | `null` | Optimizer steps; or give",
        "| `start` | [StageStart](#stagestart) | - | Where the run starts. |",
        "| `model` | [ScorerModel](#scorermodel) | its own | Sizes of the text model. |",
        "| `kinds` | number above 0 by name or null | `null` | How often the questions",
        "| `seconds` | list of number | - | Shortest and longest. |",
    ],
)
def test_settings_are_described_with_what_they_accept(line):
    assert line in make_reference()
