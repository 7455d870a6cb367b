"""The commands put together, in the order of the help."""

from __future__ import annotations

from typing import Annotated

import typer

from dynfocus.cli import (
    ask,
    batch,
    benchmark_checks,
    benchmark_tables,
    benchmarks,
    chat,
    checkpoints,
    demo,
    doctor,
    download,
    evaluate,
    experiments,
    find,
    frames,
    index,
    mcp,
    pictures,
    probe,
    redundancy,
    serve,
    train,
    watch,
    words,
    world,
)
from dynfocus.cli.commands import add_group, epilog

app = typer.Typer(
    name="dynfocus",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"dynfocus {version('dynfocus')}")
        raise typer.Exit


@app.callback(
    epilog=epilog(
        "dynfocus demo", 'dynfocus ask clip.mp4 "What letter is on the red square?"'
    )
)
def dynfocus(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Show the whole traceback of an error; so does DYNFOCUS_DEBUG=1.",
        ),
    ] = False,
) -> None:
    """Answer questions about long videos with few tokens.

    Answers go to standard output, everything else to standard error. Exit code 0: done;
    1: the work failed; 2: the call was wrong.
    """


for one in (
    demo.demo,
    download.download,
    ask.ask,
    chat.chat,
    watch.watch,
    batch.batch,
    index.index,
    words.words,
    serve.serve,
    find.find,
    pictures.timeline,
    frames.frames,
    pictures.storyboard,
    redundancy.redundancy,
    probe.probe,
    mcp.mcp,
    checkpoints.assemble,
    checkpoints.export_language_model,
    train.train,
    doctor.doctor,
):
    one.add_to(app)
add_group(app, "world", world.HELP, (world.make, world.export))
add_group(app, "data", train.DATA_HELP, (train.import_, train.check))
add_group(
    app,
    "eval",
    evaluate.HELP,
    (
        *benchmarks.COMMANDS,
        evaluate.focusworld,
        evaluate.robustness,
        experiments.methods,
        experiments.ablation,
        experiments.recall,
        experiments.plugged,
        evaluate.page,
        evaluate.compare,
        benchmark_checks.check,
        benchmark_tables.table,
    ),
    cls=benchmarks.BenchmarkGroup,
)
