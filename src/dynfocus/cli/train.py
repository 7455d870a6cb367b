"""``dynfocus train`` and ``dynfocus data``: run a recipe; bring in data, and check them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import print_json, progress_bar, say
from dynfocus.cli.options import Json, at_least_one
from dynfocus.text import plural

DATA_HELP = "Bring in training data, and look through it before training."


@command(
    "dynfocus data import webvid results_2M_train.csv data/webvid.jsonl",
    "dynfocus data import video-chatgpt VideoInstruct100K.json data/vcg.json "
    "--media data/activitynet",
    name="import",
)
def import_(
    kind: Annotated[
        Literal["video-chatgpt", "webvid", "videochat2"],
        typer.Argument(metavar="KIND", help="The published format."),
    ],
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The published file.")
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="What to write: .json, or .jsonl with a sample a line."
        ),
    ],
    media: Annotated[
        Path | None,
        typer.Option(
            "--media",
            metavar="FOLDER",
            help="The videos; samples whose video is not there are left out.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Turn published instruction data into LLaVA's format, and print the file.

    video-chatgpt: Video-ChatGPT's questions and answers (JSON). webvid: WebVid's captions
    (CSV). videochat2: VideoChat2's instructions (JSON), which the paper takes WebVid-QA,
    NExT-QA and CLEVRER from.
    """
    from dynfocus.training.importers import import_data

    with progress_bar("Reading") as progress:
        report = import_data(kind, source, out, media=media, progress=progress)
    if report.num_without_video:
        say(
            f"{plural(report.num_without_video, 'sample')} left out: the video is not in "
            f"{media}"
        )
    if json:
        print_json(
            {
                "file": str(out),
                "num_samples": report.num_samples,
                "num_without_video": report.num_without_video,
            }
        )
    else:
        say(f"{plural(report.num_samples, 'sample')} written")
        print(out)


@command(
    "dynfocus data check data/train.json",
    "dynfocus data check data/webvid.jsonl --root data/webvid --workers 16 --json",
)
def check(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Samples: .json or .jsonl.")
    ],
    root: Annotated[
        Path | None,
        typer.Option(
            "--root",
            metavar="FOLDER",
            help="Where the media lie; by default the file's folder.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="CLEAN.jsonl",
            help="Where the good samples go; by default NAME.clean.jsonl beside FILE.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            callback=at_least_one,
            help="Processes that decode; by default one a core.",
        ),
    ] = None,
    full: Annotated[
        bool,
        typer.Option("--full", help="Decode a frame a second, not three a video."),
    ] = False,
    json: Json = False,
) -> None:
    """Find every malformed sample, missing file and unreadable video before training.

    Prints each with the reason, and writes the list of all others with the durations of
    their videos. Exit code 1 if anything was found.
    """
    if out is not None and out.suffix not in (".json", ".jsonl"):
        raise typer.BadParameter(f"--out must end in .json or .jsonl, got {out}")
    from dynfocus.training.checking import check_data

    with progress_bar("Opening media") as progress:
        report = check_data(
            file,
            root=root,
            clean=out,
            num_workers=workers,
            is_full=full,
            progress=progress,
        )
    num_good = report.num_samples - len(report.problems)
    if json:
        print_json(
            {
                "file": str(file),
                "clean": str(report.clean),
                "num_samples": report.num_samples,
                "num_good": num_good,
                "problems": [{"sample": s, "reason": r} for s, r in report.problems],
                "damaged": [{"sample": s, "reason": r} for s, r in report.damaged],
            }
        )
    else:
        for sample, reason in report.problems:
            print(f"{sample}: {reason}")
        for sample, reason in report.damaged:
            say(f"{sample} stays, with damage: {reason}")
        say(f"{num_good} of {plural(report.num_samples, 'sample')} in {report.clean}")
    if report.problems:
        raise typer.Exit(1)


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
