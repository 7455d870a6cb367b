"""``dynfocus eval`` of experiments: systems compared, the paper's ablations, recall, hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import progress_bar, quiet_libraries, say
from dynfocus.cli.options import Fps, Json, Model, Out, count_option, text_option
from dynfocus.cli.results import show_result, write_result

if TYPE_CHECKING:
    from dynfocus.evaluation.benchmarks import WorldBenchmark

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
    "slow-parts",
    "slow-stages",
    "slow-rate",
    "slow-table",
)
"""Those of `dynfocus.evaluation.experiments.ablations`, too heavy to import for help."""
_PLUGGED_KINDS = ("needle", "attribute", "presence", "count", "order", "topic")
Runs = Annotated[
    Path, text_option("Where to keep weights and answers meanwhile.", metavar="FOLDER")
]
_RESULTS = Path("docs/results")


@dataclass(frozen=True)
class Lengths:
    """How many test videos of each length are asked about."""

    short_videos: Annotated[
        int, count_option("Test videos of one to three minutes.")
    ] = 12
    medium_videos: Annotated[
        int, count_option("Test videos of eight to ten minutes.", 0)
    ] = 10
    long_videos: Annotated[int, count_option("Test videos of 40 to 60 minutes.", 0)] = 0

    def benchmarks(self, **options: Any) -> tuple[WorldBenchmark, ...]:
        """Make the benchmarks, all with some options."""
        from dynfocus.evaluation.benchmarks import usual_benchmarks

        lengths = self.short_videos, self.medium_videos, self.long_videos
        return usual_benchmarks(*lengths, **options)


@dataclass(frozen=True)
class Training:
    """How the rows of an experiment are trained."""

    runs: Runs = Path("runs/experiments")
    model: Annotated[
        str, typer.Option("--model", "-m", help="The model that every row starts from.")
    ] = "nano"
    steps: Annotated[int, count_option("Training steps a row.")] = 150
    num_seeds: Annotated[int, count_option("Training seeds a row.")] = 3
    training_videos: Annotated[int, count_option("Videos to train on.")] = 1000

    def run(
        self,
        names: Sequence[str],
        lengths: Lengths,
        budgets: Sequence[int],
        out: Path,
        json: bool,
    ) -> None:
        """Run experiments one after another; print their pages, or as JSON."""
        from dynfocus.evaluation.experiments.ablations import EXPERIMENTS
        from dynfocus.evaluation.experiments.plans import make_plan
        from dynfocus.evaluation.experiments.running import run_variants
        from dynfocus.evaluation.experiments.tables import make_document
        from dynfocus.world.video import World

        quiet_libraries()
        found = []
        for name in names:
            experiment = EXPERIMENTS[name]
            world = World(wide=experiment.wide)
            plan = make_plan(
                experiment,
                self.model,
                self.runs / "patches",
                self.steps,
                self.num_seeds,
                self.training_videos,
                lengths.benchmarks(kinds=experiment.kinds, world=world),
                sorted(set(budgets)),
            )
            records = run_variants(experiment.variants, plan, self.runs, say)
            stem = name if name == "methods" else f"ablation-{name}"
            found.append(
                write_result(out, stem, make_document(experiment, records, plan))
            )
        show_result(found, json)


@command(
    "dynfocus eval methods --num-seeds 3",
    "dynfocus eval methods --steps 2 --training-videos 4 --short-videos 1 "
    "--medium-videos 0 --long-videos 0 --budget 160",
)
def methods(
    training: Training,
    lengths: Lengths,
    out: Out = _RESULTS,
    budget: Annotated[
        list[int] | None,
        text_option(
            "Ask also with at most so many video tokens; may be repeated. "
            "[default: 160, 320]",
            metavar="TOKENS",
            min=1,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Compare DynFocus with other ways to spend video tokens.

    Each system is trained from the same start on the same features, data and steps, then
    asked the same questions: with all its tokens, and with as many frames as a budget of
    tokens pays for (long videos with budgets alone). What is done is kept, so a run that
    was stopped continues.
    """
    training.run(("methods",), lengths, budget or (160, 320), out, json)


@command(
    "dynfocus eval ablation cones-rods",
    "dynfocus eval ablation clustering --num-seeds 3 --out results",
    "dynfocus eval ablation slow-parts --model runs/nano-slow/boundaries/model",
)
def ablation(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help=f"One of {', '.join(ABLATIONS)}, or all of them."
        ),
    ],
    training: Training,
    lengths: Lengths,
    out: Out = _RESULTS,
    json: Json = False,
) -> None:
    """Repeat an ablation of the paper at nano size, its figures beside ours.

    Rows that several ablations share are trained once. What is done is kept, so a run
    that was stopped continues. NAME may be "all", which is those of DynFocus. Names that
    begin with slow- are tables of SlowFocus: they start from a SlowFocus after its stage 2
    (--model), such as recipes/nano-slow makes.
    """
    if name not in (*ABLATIONS, "all"):
        raise typer.BadParameter(
            f"NAME must be one of {', '.join(ABLATIONS)} or all, got {name!r}"
        )
    names = [one for one in ABLATIONS if not one.startswith("slow-")]
    training.run(names if name == "all" else (name,), lengths, (), out, json)


@command(
    "dynfocus eval recall",
    "dynfocus eval recall --short-videos 40 --long-videos 3 -L 32 -L 256 "
    "--compare tuned=runs/nano/tune/model",
)
def recall(
    lengths: Lengths,
    out: Out = _RESULTS,
    model: Model = "nano",
    compare: Annotated[
        list[str] | None,
        text_option(
            "Another model with the same vision tower; may be repeated.",
            metavar="NAME=FOLDER",
        ),
    ] = None,
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

    Compares the model's selection with even frames and with clustering alone, on test
    videos whose evidence is known. Only frames are scored; nothing is asked.
    """
    from dynfocus.evaluation.experiments import recall as experiment

    models = {model: model}
    for pair in compare or ():
        name, equals, folder = pair.partition("=")
        if not (name and equals and folder):
            raise typer.BadParameter(f"--compare takes NAME=FOLDER, got {pair!r}")
        models[name] = folder
    experiment.check_sources(models)
    quiet_libraries()
    plan = experiment.RecallPlan(
        models=models,
        sets=lengths.benchmarks(),
        num_cones=tuple(sorted(set(num_cones or (1, 2, 4, 8, 16, 32)))),
        num_prototypes=tuple(sorted(set(num_prototypes or (32,)))),
    )
    records = experiment.measure_recall(plan, say)
    show_result(write_result(out, "recall", experiment.summarise(records, plan)), json)


@command(
    "dynfocus eval plugged runs/hosts/llava-onevision/host --scorer runs/hosts/scorer/scorer",
    "dynfocus eval plugged FOLDER --short-videos 2 --medium-videos 0 --share 0.1",
)
def plugged(
    host: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A vision language model: a folder or a hub name."
        ),
    ],
    lengths: Lengths,
    scorer: Annotated[
        str | None,
        text_option("A dual encoder that compares frames with the question."),
    ] = None,
    out: Out = _RESULTS,
    runs: Runs = Path("runs/plugged"),
    share: Annotated[
        list[float] | None,
        text_option(
            "Budget as a share of all tokens; may be repeated. "
            "[default: 0.05, 0.1, 0.25, 0.5]"
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        text_option(
            "A further rule of docs/methods.md, with the same scorer, such as mdp3, or "
            "cdpruner, evs, fastvid or vidcom2, which prune tokens; may be repeated.",
            metavar="NAME",
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        text_option("Kind of question; may be repeated. [default: six kinds]"),
    ] = None,
    max_per_kind: Annotated[
        int,
        count_option(
            "Questions of a kind about a video; presence: so many pairs.",
        ),
    ] = 2,
    fps: Fps = 1.0,
    max_frames: Annotated[int, count_option("Frames of a video at most.")] = 900,
    json: Json = False,
) -> None:
    """Measure what a model keeps of its accuracy with fewer video tokens.

    Asks a vision language model about FocusWorld test videos with all its tokens, and
    with a part of them chosen by DynFocus, as even frames, and by the published rules BOLT,
    AKS and those that are named. Nothing is trained. Answers are kept as they come, so a run that was stopped
    continues.
    """
    from dynfocus.evaluation.experiments import plugged as experiment

    plan = experiment.PluggedPlan(
        host=host,
        scorer=scorer,
        sets=lengths.benchmarks(
            kinds=tuple(dict.fromkeys(kind or _PLUGGED_KINDS)),
            max_per_kind=max_per_kind,
            fps=fps,
        ),
        shares=tuple(sorted(set(share or experiment.SHARES))),
        methods=tuple(method or ()),
        max_frames=max_frames,
    )
    quiet_libraries()
    answers = runs / "plugged-accuracy.jsonl"
    with progress_bar("Asking") as progress:
        records = experiment.measure_plugged(plan, answers, progress)
    show_result(
        write_result(out, "plugged-accuracy", experiment.summarise(records, plan)), json
    )
