"""``dynfocus eval``: measure a model in FocusWorld, and compare what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dynfocus.cli.benchmarks import run_folder
from dynfocus.cli.commands import command
from dynfocus.cli.console import load_model, print_json, progress_bar
from dynfocus.cli.options import (
    Fps,
    Json,
    MaxVideoTokens,
    Model,
    Out,
    Seed,
    Unseen,
    Wide,
    count_option,
    positive,
    text_option,
)
from dynfocus.cli.results import show_result, write_result
from dynfocus.cli.world import choose_world

if TYPE_CHECKING:
    from dynfocus.evaluation.benchmarks import WorldBenchmark

HELP = "Measure a model, compare systems, repeat the paper's ablations."


@dataclass(frozen=True)
class WorldTest:
    """Which FocusWorld videos a model is asked about."""

    num_videos: Annotated[int, count_option("Videos.")] = 40
    min_seconds: Annotated[float, text_option("Shortest video.", callback=positive)] = (
        60.0
    )
    max_seconds: Annotated[float, text_option("Longest video.", callback=positive)] = (
        180.0
    )
    seed: Seed = 0
    split: Annotated[
        str,
        text_option('"test", or "validation" for what is still developed.'),
    ] = "test"
    wide: Wide = False

    def benchmark(self, unseen: str | None = None, **options: Any) -> WorldBenchmark:
        """Make the benchmark, with what else it needs.

        Raises:
            typer.BadParameter: The lengths are in the wrong order, or what is unseen
                belongs to another world.
        """
        from dynfocus.evaluation.benchmarks import WorldBenchmark

        low, high = self.min_seconds, self.max_seconds
        if low > high:
            raise typer.BadParameter(
                f"--min-seconds ({low:g}) must not be above --max-seconds ({high:g})"
            )
        return WorldBenchmark(
            num_videos=self.num_videos,
            seconds=(low, high),
            seed=self.seed,
            split=self.split,  # type: ignore[arg-type]  # checked by the class
            world=choose_world(self.wide, unseen, self.split),
            **options,
        )


@command(
    "dynfocus eval focusworld --num-videos 40 --rules",
    "dynfocus eval focusworld --num-videos 4 --min-seconds 30 --max-seconds 60 --json",
    "dynfocus eval focusworld --wide --wording held_out --split validation",
    "dynfocus eval focusworld --data FOLDER --model MODEL",
)
def focusworld(
    test: WorldTest,
    out: Out = Path("runs/eval"),
    rules: Annotated[
        bool,
        typer.Option(
            "--rules",
            help="Also answer by rules on the model's rating of frames, without its "
            "language model.",
        ),
    ] = False,
    data: Annotated[
        Path | None,
        text_option(
            "Ask what dynfocus world make or export wrote there, in place of videos made "
            "now.",
            metavar="FOLDER",
        ),
    ] = None,
    unseen: Unseen = None,
    wording: Annotated[
        Literal["plain", "training", "held_out"],
        text_option(
            "How the widened world asks; held_out are words that no training has."
        ),
    ] = "plain",
    fps: Fps = 1.0,
    max_video_tokens: MaxVideoTokens = None,
    model: Model = "nano",
    json: Json = False,
) -> None:
    """Ask a model about FocusWorld videos and judge the answers.

    Answers are kept as they come, so a run that was stopped continues. The folder gets
    NAME.jsonl with every answer, and NAME.md and NAME.json with the table, its 95 %
    intervals over videos and the best constant answer.
    """
    if data is not None:
        ask = {"fps": fps, "max_video_tokens": max_video_tokens}
        run_folder("focusworld", data, out, model, ask, json)
        return
    from dynfocus.evaluation.benchmarks import (
        run_world_benchmark,
        summarise,
    )

    plan = test.benchmark(
        unseen, wording=wording, fps=fps, max_video_tokens=max_video_tokens
    )
    name = f"focusworld-{test.min_seconds:g}-{test.max_seconds:g}s"
    if test.wide:
        name = "-".join(["wide", name, wording, *([unseen] if unseen else [])])
    focused = load_model(model, index_folder=False)
    with progress_bar("Asking") as progress:
        records = run_world_benchmark(
            focused, plan, out / f"{name}.jsonl", progress, rules=rules
        )
    show_result(write_result(out, name, summarise(plan, focused.name, records)), json)


@command(
    "dynfocus eval robustness --num-videos 20",
    "dynfocus eval robustness --wide --split validation --num-videos 100",
)
def robustness(
    test: WorldTest,
    out: Out = Path("runs/eval"),
    model: Model = "nano",
    json: Json = False,
) -> None:
    """Ask the same questions about videos that are shifted, cropped, mirrored, grey, ...

    Every video is written once as it is and once a change, and each change compared with
    the original on the questions whose truth follows it. Answers are kept as they come,
    so a run that was stopped continues.
    """
    from dynfocus.evaluation.benchmarks.robustness import RobustnessPlan, run_robustness

    plan = RobustnessPlan(benchmark=test.benchmark(max_per_kind=2))
    name = "wide-robustness" if test.wide else "robustness"
    focused = load_model(model, index_folder=False)
    with progress_bar("Asking") as progress:
        document = run_robustness(focused, plan, out / f"{name}.jsonl", progress)
    show_result(write_result(out, name, document), json)


@command(
    "dynfocus eval page docs/results/methods.json",
    "dynfocus eval page docs/results/focusworld-60-180s.json --json",
)
def page(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULT...", help="JSON documents of results."),
    ],
    json: Json = False,
) -> None:
    """Write the pages and pictures of results anew, from their JSON alone.

    Nothing is measured. "notes" in the JSON is a list of paragraphs for the page.
    """
    from dynfocus.evaluation import render_page

    pages = [str(render_page(path)) for path in results]
    if json:
        print_json({"pages": pages})
    else:
        print("\n".join(pages))


@command(
    "dynfocus eval compare before.jsonl after.jsonl",
    "dynfocus eval compare before.jsonl after.jsonl --json",
)
def compare(
    first: Annotated[
        Path, typer.Argument(metavar="BEFORE", help="Answers, JSON lines.")
    ],
    second: Annotated[
        Path, typer.Argument(metavar="AFTER", help="Others to the same.")
    ],
    json: Json = False,
) -> None:
    """Compare two runs of answers one by one; exit code 1 if any differs.

    Takes what "eval focusworld", "eval plugged" and "batch" leave. An answer is the same
    if its text, its tokens and what is known of its frames are.
    """
    from dynfocus.evaluation.comparing import compare_answers

    found = compare_answers(first, second)
    if json:
        print_json(found.to_dict())
    else:
        print(found)
    if not found.is_same:
        raise typer.Exit(1)
