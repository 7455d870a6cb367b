"""``dynfocus eval table``: results side by side, published rows below."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import print_json, say
from dynfocus.cli.options import Json


@command(
    "dynfocus eval table runs/a/mlvu.json runs/b/mlvu.json",
    "dynfocus eval table runs/*/video-mme.json --format latex --plot accuracy.png",
)
def table(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS...", help="NAME.json of benchmark runs."),
    ],
    form: Annotated[
        Literal["markdown", "csv", "latex"],
        typer.Option("--format", help="How the table is written."),
    ] = "markdown",
    force: Annotated[
        bool,
        typer.Option("--force", help="Mix results of different judges, marked."),
    ] = False,
    no_published: Annotated[
        bool, typer.Option("--no-published", help="Leave out the rows of papers.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE.png",
            help="Also draw the main figure over video tokens.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Put results side by side, published rows below, and say which differences count.

    The first result of each benchmark is compared with the others on the questions of
    both: the paired difference with its 95 % interval over videos, and a sign test.
    """
    from dynfocus.evaluation.benchmarks.tables import (
        draw_accuracy,
        make_tables,
        read_result,
    )

    read = [read_result(path) for path in results]
    tables = make_tables(read, forced=force, published=not no_published)
    if plot is not None:
        from dynfocus.atomic import atomic_file, check_writable

        check_writable(plot, what="the plot")
        with atomic_file(plot) as part:
            draw_accuracy(read).savefig(part, dpi=120, format="png")
        say(f"plot: {plot}")
    if json:
        print_json({"tables": [asdict(one) for one in tables]})
    else:
        print("\n".join(one.write(form) for one in tables))
