"""``dynfocus eval``: measure a model on a benchmark."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from dynfocus.cli.console import load_model, print_json, progress_bar
from dynfocus.cli.options import (
    Fps,
    Json,
    MaxVideoTokens,
    Model,
    Seed,
    at_least_one,
    examples,
    positive,
)

BENCHMARKS = ("focusworld",)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        "eval",
        epilog=examples(
            "dynfocus eval focusworld --num-videos 40",
            "dynfocus eval focusworld --num-videos 4 --min-seconds 30 --max-seconds 60 --json",
        ),
    )(evaluate)


def evaluate(
    benchmark: Annotated[
        str,
        typer.Argument(metavar="BENCHMARK", help=f"One of {', '.join(BENCHMARKS)}."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FOLDER", help="Where to leave the results."),
    ] = Path("runs/eval"),
    num_videos: Annotated[
        int, typer.Option("--num-videos", callback=at_least_one, help="Unseen videos.")
    ] = 40,
    min_seconds: Annotated[
        float, typer.Option("--min-seconds", callback=positive, help="Shortest video.")
    ] = 60.0,
    max_seconds: Annotated[
        float, typer.Option("--max-seconds", callback=positive, help="Longest video.")
    ] = 180.0,
    seed: Seed = 0,
    fps: Fps = 1.0,
    max_video_tokens: MaxVideoTokens = None,
    model: Model = "nano",
    json: Json = False,
) -> None:
    """Ask a model about unseen videos and judge the answers.

    Answers are kept as they come, so a run that was stopped continues. The folder gets
    NAME.jsonl with every answer, and NAME.md and NAME.json with the table.
    """
    if benchmark not in BENCHMARKS:
        raise typer.BadParameter(
            f"BENCHMARK must be one of {', '.join(BENCHMARKS)}, got {benchmark!r}"
        )
    if min_seconds > max_seconds:
        raise typer.BadParameter(
            f"--min-seconds ({min_seconds:g}) must not be above --max-seconds ({max_seconds:g})"
        )
    from dynfocus.evaluation import (
        WorldBenchmark,
        run_world_benchmark,
        summarise,
        write_results,
    )
    from dynfocus.provenance import source_commit

    plan = WorldBenchmark(
        num_videos=num_videos,
        seconds=(min_seconds, max_seconds),
        seed=seed,
        fps=fps,
        max_video_tokens=max_video_tokens,
    )
    name = f"focusworld-{min_seconds:g}-{max_seconds:g}s"
    focused = load_model(model)
    with progress_bar("Asking") as progress:
        records = run_world_benchmark(focused, plan, out / f"{name}.jsonl", progress)
    command = shlex.join(["dynfocus", *sys.argv[1:]])
    page = write_results(out, name, command, source_commit(), plan, records)
    if json:
        print_json({"rows": summarise(records), "page": str(page)})
    else:
        print(page.read_text(encoding="utf-8"))
