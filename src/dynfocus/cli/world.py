"""``dynfocus world``: FocusWorld videos with their questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import load_model, print_json, progress_bar
from dynfocus.cli.options import Json, Seed, Unseen, Wide, at_least_one, positive

if TYPE_CHECKING:
    from dynfocus.world import World

HELP = "Make FocusWorld: videos whose every answer is known."


@command(
    "dynfocus world make videos --num-videos 3 --duration 120",
    "dynfocus world make more --split train --seed 100 --json",
    "dynfocus world make wide --wide --unseen fonts --num-videos 2",
)
def make(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to write; made if missing.")
    ],
    num_videos: Annotated[
        int,
        typer.Option("--num-videos", callback=at_least_one, help="How many videos."),
    ] = 10,
    duration: Annotated[
        float,
        typer.Option("--duration", callback=positive, help="Seconds of each video."),
    ] = 120.0,
    seed: Seed = 0,
    split: Annotated[
        Literal["train", "validation", "test"],
        typer.Option("--split", help="Draw from this disjoint stream."),
    ] = "test",
    wide: Wide = False,
    unseen: Unseen = None,
    json: Json = False,
) -> None:
    """Write videos with questions, answers and evidence.

    The folder gets the videos, train.json (conversations) and benchmark.jsonl (one
    question a line); a run that was stopped continues.
    """
    from dynfocus.world import make_dataset

    world = choose_world(wide, unseen, split)
    with progress_bar("Making videos") as progress:
        made = make_dataset(
            folder, num_videos, duration, seed, split, progress, world=world
        )
    if json:
        print_json({"folder": str(made), "num_videos": num_videos, "split": split})
    else:
        print(made)


@command(
    "dynfocus world export focusworld-lmms --format lmms-eval --seed 2026 --num-videos 20",
    "dynfocus world export grounding --format charades-sta --seed 7 --duration 90",
)
def export(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to write; made if missing.")
    ],
    form: Annotated[
        Literal[
            "lmms-eval",
            "llava",
            "video-mme",
            "kfs-bench",
            "lv-haystack",
            "fineaction-cgr",
            "charades-sta",
        ],
        typer.Option("--format", help="Whose format."),
    ],
    num_videos: Annotated[
        int,
        typer.Option("--num-videos", callback=at_least_one, help="How many videos."),
    ] = 20,
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration",
            callback=positive,
            help="Seconds of each video; by default 60 to 180, drawn from the seed.",
        ),
    ] = None,
    seed: Seed = 0,
    split: Annotated[
        Literal["train", "validation", "test"],
        typer.Option("--split", help="Draw from this disjoint stream."),
    ] = "test",
    wide: Wide = False,
    unseen: Unseen = None,
    rules: Annotated[
        bool,
        typer.Option(
            "--rules",
            help="Also say on the card what rules on nano's rating of frames answer.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Write FocusWorld in the format of another benchmark or harness, with a card.

    The same seed gives the same bytes. README.md says what is measured, what is right
    without looking, which frames see the evidence, and the hash of the pixels.
    """
    from dynfocus.evaluation.benchmarks.world_export import export_world

    world = choose_world(wide, unseen, split)
    rater = load_model("nano") if rules else None
    with progress_bar("Making videos") as progress:
        made = export_world(
            folder,
            form,
            num_videos=num_videos,
            duration=(60.0, 180.0) if duration is None else duration,
            seed=seed,
            split=split,
            world=world,
            progress=progress,
            rater=rater,
        )
    if json:
        print_json({"folder": str(made), "format": form, "seed": seed})
    else:
        print(made)


def choose_world(wide: bool, unseen: Any, split: str) -> World:
    """Read ``--wide`` and ``--unseen``.

    Raises:
        typer.BadParameter: What is unseen in training was asked of it, or of the narrow
            world.
    """
    from dynfocus.world import World

    if unseen and not wide:
        raise typer.BadParameter("needs --wide", param_hint="--unseen")
    if unseen and split == "train":
        raise typer.BadParameter(
            "training never shows these; use --split validation or test",
            param_hint="--unseen",
        )
    return World(wide=wide, unseen=(unseen,) if unseen else ())
