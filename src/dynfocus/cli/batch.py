"""``dynfocus batch``: many questions about many videos."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynfocus.cli.console import plural, print_json, progress_bar, say, warn
from dynfocus.cli.options import (
    DeviceMap,
    Dtype,
    Fps,
    Json,
    MaxFrames,
    MaxNewTokens,
    MaxVideoTokens,
    Model,
    NoIndex,
    Quantize,
    at_least_one,
    examples,
)

if TYPE_CHECKING:
    from dynfocus.bulk import BulkRow
    from dynfocus.bulk.running import Answerer


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=examples(
            "dynfocus batch questions.jsonl --out answers.jsonl --workers 2",
            "dynfocus batch questions.jsonl --out answers.jsonl --retry --ray auto",
        )
    )(batch)


def batch(
    questions: Annotated[
        str,
        typer.Argument(
            metavar="QUESTIONS.jsonl",
            help='One {"video": ..., "question": ...} a line; "-" reads standard input.',
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="ANSWERS.jsonl",
            help="Where answers are added, a line each; what it holds is not asked again.",
        ),
    ],
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            callback=at_least_one,
            help="Processes, or actors of Ray; each loads the model.",
        ),
    ] = 1,
    retry: Annotated[
        bool, typer.Option("--retry", help="Ask again what failed in an earlier run.")
    ] = False,
    index_only: Annotated[
        bool,
        typer.Option(
            "--index-only", help="Only fill the index on disk; ask no question."
        ),
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help='Work on a Ray cluster: its address, "auto", or "local" to start one.',
        ),
    ] = None,
    model: Model = "nano",
    dtype: Dtype = None,
    quantize: Quantize = None,
    device_map: DeviceMap = None,
    fps: Fps = 1.0,
    max_frames: MaxFrames = None,
    max_video_tokens: MaxVideoTokens = None,
    max_new_tokens: MaxNewTokens = 64,
    no_index: NoIndex = False,
    json: Json = False,
) -> None:
    """Answer many questions, each video encoded once; a run that stops goes on.

    A row may also have "id", "fps", "max_frames", "max_video_tokens" and
    "max_new_tokens"; without "question", its video is only indexed. Rows that fail say
    why under "error", and the exit code is 1.
    """
    if index_only and no_index:
        raise typer.BadParameter("--index-only and --no-index leave nothing to do")
    from dynfocus.bulk import run_bulk

    defaults = {
        "fps": fps,
        "max_frames": max_frames,
        "max_video_tokens": max_video_tokens,
        "max_new_tokens": max_new_tokens,
    }
    rows = _read(questions, defaults, index_only=index_only)
    options = {
        "dtype": None if dtype is None else str(dtype),
        "quantize": None if quantize is None else str(quantize),
        "device_map": device_map,
        "index_folder": False if no_index else None,
    }
    _warn_if_meaningless(model, rows)
    answerer = _answerer(model, options, workers, ray)
    with progress_bar("Answering") as progress:
        summary = run_bulk(rows, out, answerer, retries=retry, progress=progress)
    if json:
        print_json({"out": str(out), **vars(summary)})
    else:
        print(out)
    say(
        f"{plural(summary.num_rows, 'row')}: {summary.num_earlier:,} from earlier runs, "
        f"{summary.num_failed:,} failed"
    )
    if summary.num_failed:
        raise typer.Exit(1)


def _read(
    questions: str, defaults: dict[str, Any], *, index_only: bool
) -> list[BulkRow]:
    """Read and check all rows before anything runs."""
    from dataclasses import replace

    from dynfocus.bulk import read_rows

    text = (
        sys.stdin.read()
        if questions == "-"
        else Path(questions).read_text(encoding="utf-8")
    )
    try:
        rows = read_rows(text.splitlines(), defaults)
    except ValueError as error:
        raise ValueError(f"{questions}: {error}") from error
    return [replace(row, question=None) for row in rows] if index_only else rows


def _answerer(
    model: str, options: dict[str, Any], workers: int, ray: str | None
) -> Answerer:
    from dynfocus.bulk import (
        ModelLoader,
        answer_here,
        answer_in_processes,
        answer_on_ray,
    )

    given = tuple((name, value) for name, value in options.items() if value is not None)
    loader = ModelLoader(model, given)
    if ray is not None:
        return partial(answer_on_ray, loader=loader, num_workers=workers, address=ray)
    if workers == 1:
        return partial(answer_here, loader=loader)
    return partial(answer_in_processes, loader=loader, num_workers=workers)


def _warn_if_meaningless(model: str, rows: list[BulkRow]) -> None:
    """Say so once when the shipped model is asked about a world it does not know."""
    from dynfocus.world import is_world_video

    if model != "nano":
        return
    first = next((row.video for row in rows if Path(row.video).is_file()), None)
    if first is not None and not is_world_video(first):
        warn(
            "the shipped nano model only knows FocusWorld videos, so its answers mean "
            "nothing for others; name a model that knows the real world with --model"
        )
