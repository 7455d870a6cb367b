"""``dynfocus train``: run a recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from dynfocus.cli.commands import command


@command(
    "dynfocus train recipes/nano",
    "dynfocus train recipes/nano/1-vision.yaml --set schedule.num_steps=2",
)
def train(
    recipe: Annotated[
        Path,
        typer.Argument(
            metavar="RECIPE.yaml", help="Every number of a run, or a folder of recipes."
        ),
    ],
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume", help="Continue from the last checkpoint, if any."
        ),
    ] = True,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change the recipe; may be repeated."
        ),
    ] = None,
) -> None:
    """Train what a recipe describes, and print the folder that holds the result.

    A folder of recipes is run in the order of their names.
    """
    for change in changes or ():
        if not change.partition("=")[0] or "=" not in change:
            raise typer.BadParameter(f"--set takes KEY=VALUE, got {change!r}")
    from dynfocus.training import run_recipe

    output = run_recipe(recipe, changes or (), resume=resume)
    if os.environ.get("RANK", "0") == "0":  # the first of the processes of torchrun
        print(output)
