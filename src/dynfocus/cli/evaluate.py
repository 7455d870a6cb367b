"""``dynfocus eval``: measure a model, compare systems, repeat the paper's ablations."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynfocus.cli.console import load_model, print_json, progress_bar, say
from dynfocus.cli.evaluate_options import (
    LongVideos,
    MediumVideos,
    NumSeeds,
    Out,
    Runs,
    ShortVideos,
    Start,
    Steps,
    TrainingVideos,
)
from dynfocus.cli.evaluate_plugged import plugged
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

if TYPE_CHECKING:
    from dynfocus.evaluation.experiments.plans import Plan

ABLATIONS = (
    "cones-rods",
    "prototypes",
    "ratio",
    "length",
    "training",
    "clustering",
    "fusion",
    "gradient",
    "preset",
    "selection",
)
"""The experiments of ``dynfocus.evaluation.experiments.ablations``, which is too heavy to import
for a help text."""


def register(app: typer.Typer) -> None:
    """Add the command group to the program."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Measure a model, compare systems, repeat the paper's ablations.",
        epilog=examples(
            "dynfocus eval focusworld --num-videos 40",
            "dynfocus eval ablation fusion",
        ),
    )

    @group.callback()
    def evaluate() -> None:
        """Measure a model, compare systems, repeat the paper's ablations."""

    group.command(
        epilog=examples(
            "dynfocus eval focusworld --num-videos 40",
            "dynfocus eval focusworld --num-videos 4 --min-seconds 30 --max-seconds 60 --json",
        )
    )(focusworld)
    group.command(
        epilog=examples(
            "dynfocus eval methods --num-seeds 3",
            "dynfocus eval methods --steps 2 --training-videos 4 --short-videos 1 "
            "--medium-videos 0 --long-videos 0 --budget 160",
        )
    )(methods)
    group.command(
        epilog=examples(
            "dynfocus eval ablation cones-rods",
            "dynfocus eval ablation clustering --num-seeds 3 --out results",
        )
    )(ablation)
    group.command(
        epilog=examples(
            "dynfocus eval recall",
            "dynfocus eval recall --short-videos 40 --long-videos 3 -L 32 -L 256 "
            "--compare blind=runs/nano-selection-blind/model",
        )
    )(recall)
    group.command(
        epilog=examples(
            "dynfocus eval plugged runs/nano-host6/host --scorer runs/nano-scorer/scorer",
            "dynfocus eval plugged FOLDER --short-videos 2 --medium-videos 0 --share 0.1",
        )
    )(plugged)
    app.add_typer(group, name="eval")


def focusworld(
    out: Out = Path("runs/eval"),
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
    focused = load_model(model, index_folder=False)
    with progress_bar("Asking") as progress:
        records = run_world_benchmark(focused, plan, out / f"{name}.jsonl", progress)
    command = shlex.join(["dynfocus", *sys.argv[1:]])
    page = write_results(out, name, command, source_commit(), plan, records)
    if json:
        print_json({"rows": summarise(records), "page": str(page)})
    else:
        print(page.read_text(encoding="utf-8"))


def methods(
    out: Out = Path("docs/results"),
    runs: Runs = Path("runs/experiments"),
    model: Start = "nano",
    steps: Steps = 150,
    num_seeds: NumSeeds = 3,
    training_videos: TrainingVideos = 1000,
    short_videos: ShortVideos = 12,
    medium_videos: MediumVideos = 4,
    long_videos: LongVideos = 2,
    budget: Annotated[
        list[int] | None,
        typer.Option(
            "--budget",
            metavar="TOKENS",
            min=1,
            help="Ask also with at most so many video tokens; may be repeated. "
            "[default: 160, 320]",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Compare DynFocus with other ways to spend video tokens, everything else equal.

    Each system is trained from the same start on the same features, data and steps, then
    asked the same questions: with all its tokens, and with as many frames as a budget of
    tokens pays for (long videos with budgets alone). What is done is kept, so a run that
    was stopped continues.
    """
    from dynfocus.evaluation.experiments.plans import make_plan

    plan = make_plan(
        model,
        runs / "patches",
        steps,
        num_seeds,
        training_videos,
        short_videos,
        medium_videos,
        long_videos,
        sorted(set(budget or (160, 320))),
    )
    _run_experiments(("methods",), plan, out, runs, json)


def ablation(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help=f"One of {', '.join(ABLATIONS)}, or all of them."
        ),
    ],
    out: Out = Path("docs/results"),
    runs: Runs = Path("runs/experiments"),
    model: Start = "nano",
    steps: Steps = 150,
    num_seeds: NumSeeds = 1,
    training_videos: TrainingVideos = 1000,
    short_videos: ShortVideos = 12,
    medium_videos: MediumVideos = 2,
    json: Json = False,
) -> None:
    """Repeat an ablation of the paper at nano size, its figures beside ours.

    Rows that several ablations share are trained once. What is done is kept, so a run
    that was stopped continues. NAME may be "all".
    """
    if name not in (*ABLATIONS, "all"):
        raise typer.BadParameter(
            f"NAME must be one of {', '.join(ABLATIONS)} or all, got {name!r}"
        )
    from dynfocus.evaluation.experiments.plans import make_plan

    sizes = (steps, num_seeds, training_videos, short_videos, medium_videos)
    names = ABLATIONS if name == "all" else (name,)
    plan = make_plan(model, runs / "patches", *sizes)
    _run_experiments(names, plan, out, runs, json)


def recall(
    out: Out = Path("docs/results"),
    runs: Runs = Path("runs/recall"),
    model: Model = "nano",
    compare: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            metavar="NAME=FOLDER",
            help="Another model with the same vision tower; may be repeated.",
        ),
    ] = None,
    short_videos: ShortVideos = 12,
    medium_videos: MediumVideos = 4,
    long_videos: LongVideos = 1,
    num_cones: Annotated[
        list[int] | None,
        typer.Option("-K", "--num-cones", help="Cones; may be repeated.", min=1),
    ] = None,
    num_prototypes: Annotated[
        list[int] | None,
        typer.Option(
            "-L", "--num-prototypes", help="Event prototypes; may be repeated.", min=1
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Measure whether frames that show the answer become Cones.

    Compares the model's selection with even frames and with clustering alone, on unseen
    videos whose evidence is known. Only frames are scored; nothing is asked.
    """
    from transformers.utils import logging

    from dynfocus.evaluation.experiments.plans import usual_sets
    from dynfocus.evaluation.experiments.recall import (
        RecallPlan,
        check_sources,
        measure_recall,
    )
    from dynfocus.evaluation.experiments.recall_page import write_recall
    from dynfocus.provenance import source_commit

    models = {model: model}
    for pair in compare or ():
        name, equals, folder = pair.partition("=")
        if not (name and equals and folder):
            raise typer.BadParameter(f"--compare takes NAME=FOLDER, got {pair!r}")
        models[name] = folder
    check_sources(models)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    plan = RecallPlan(
        models=models,
        sets=usual_sets(short_videos, medium_videos, long_videos),
        num_cones=tuple(sorted(set(num_cones or (1, 2, 4, 8, 16, 32)))),
        num_prototypes=tuple(sorted(set(num_prototypes or (32,)))),
        cache=str(runs),
    )
    records = measure_recall(plan, say)
    command = shlex.join(["dynfocus", *sys.argv[1:]])
    page = write_recall(records, plan, out, command=command, commit=source_commit())
    if json:
        print_json({"page": str(page), "picture": str(page.with_suffix(".png"))})
    else:
        print(page.read_text(encoding="utf-8"))


def _run_experiments(
    names: Sequence[str], plan: Plan, out: Path, runs: Path, json: bool
) -> None:
    """Run experiments one after another; print their pages, or where they are."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    pages = []
    for name in names:
        pages.append(_run_experiment(name, plan, out, runs))
        if not json:
            print(pages[-1].read_text(encoding="utf-8"))
    if json:
        print_json(
            [
                {"page": str(page), "picture": str(page.with_suffix(".png"))}
                for page in pages
            ]
        )


def _run_experiment(name: str, plan: Plan, out: Path, runs: Path) -> Path:
    from dynfocus.evaluation.experiments.ablations import EXPERIMENTS
    from dynfocus.evaluation.experiments.comparison import compare_systems
    from dynfocus.evaluation.experiments.experiment import run_arms
    from dynfocus.evaluation.experiments.tables import write_experiment
    from dynfocus.provenance import source_commit

    experiment = EXPERIMENTS[name]
    records = run_arms(experiment.arms, plan, runs, say)
    return write_experiment(
        experiment,
        records,
        plan,
        out,
        command=shlex.join(["dynfocus", *sys.argv[1:]]),
        commit=source_commit(),
        more=compare_systems(records, plan) if name == "methods" else (),
    )
