"""Options that the commands of ``dynfocus eval`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynfocus.cli.options import at_least_one

Out = Annotated[
    Path, typer.Option("--out", metavar="FOLDER", help="Where to leave the results.")
]
Runs = Annotated[
    Path,
    typer.Option(
        "--runs", metavar="FOLDER", help="Where to keep weights and answers meanwhile."
    ),
]
Start = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="The model that every row's language model starts from."
    ),
]
Steps = Annotated[
    int, typer.Option("--steps", callback=at_least_one, help="Training steps a row.")
]
NumSeeds = Annotated[
    int,
    typer.Option("--num-seeds", callback=at_least_one, help="Training seeds a row."),
]
TrainingVideos = Annotated[
    int,
    typer.Option(
        "--training-videos", callback=at_least_one, help="Videos to train on."
    ),
]
ShortVideos = Annotated[
    int,
    typer.Option(
        "--short-videos",
        callback=at_least_one,
        help="Unseen videos of one to three minutes to ask about.",
    ),
]
MediumVideos = Annotated[
    int,
    typer.Option(
        "--medium-videos", min=0, help="Unseen videos of eight to ten minutes."
    ),
]
LongVideos = Annotated[
    int, typer.Option("--long-videos", min=0, help="Unseen videos of 40 to 60 minutes.")
]
