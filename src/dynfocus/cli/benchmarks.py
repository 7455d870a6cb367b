"""``dynfocus eval NAME``: a model is asked the questions of a paper's benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from dynfocus.cli.commands import Command, command
from dynfocus.cli.console import (
    print_json,
    progress_bar,
    quiet_libraries,
    say,
    scorer_of,
    warn,
)
from dynfocus.cli.options import (
    Json,
    Loading,
    Method,
    Model,
    Reading,
    Scorer,
    at_least_one,
)
from dynfocus.cli.results import show_result, write_result

if TYPE_CHECKING:
    from dynfocus.bulk.asking import Loader
    from dynfocus.evaluation.benchmarks.asking import RunSettings
    from dynfocus.evaluation.benchmarks.loading import OpenedBenchmark
    from dynfocus.evaluation.judges import Judge

BENCHMARKS = {
    "msvd-qa": "MSVD-QA, short clips with one-word answers, judged.",
    "msrvtt-qa": "MSRVTT-QA, web videos with one-word answers, judged.",
    "activitynet-qa": "ActivityNet-QA, nine types of questions, judged.",
    "vcg-bench": "VCG-Bench of Video-ChatGPT, five aspects, judged.",
    "mlvu": "MLVU (dev), nine tasks about long videos, two of them judged.",
    "lvbench": "LVBench, four options about videos of an hour.",
    "video-mme": "Video-MME, four options about short, medium and long videos.",
    "video-mme-v2": "Video-MME-v2, groups of four with a non-linear score.",
    "videohallucer": "VideoHallucer, pairs answered yes or no.",
    "longvideobench": "LongVideoBench, moments and subtitles.",
    "egoschema": "EgoSchema, five options about three minutes.",
    "next-qa": "NExT-QA with five options: why, when, what.",
    "mvbench": "MVBench, twenty tasks about short clips.",
    "moviechat-1k": "MovieChat-1K, films and moments of them, judged.",
    "fineaction-cgr": "FineAction-CGR: captions, grounding, reasoning.",
    "kfs-bench": "KFS-Bench: whether chosen frames show every scene that answers.",
    "lv-haystack": "LV-Haystack: key frames in long videos, and questions about them.",
    "charades-sta": "Charades-STA: when what a sentence tells happens.",
}
"""What `dynfocus.evaluation.benchmarks.registry` has, too heavy to import for help."""
_HELP = """Ask a model the questions of {what}

Answers are kept as they come, so a run that was stopped goes on, and so are the replies of
a judge. The folder of results gets {name}.jsonl with every answer, {name}.scored.jsonl with
a mark for each, and {name}.md and {name}.json with the figures, their 95 % intervals over
videos, and the rules that they follow. Rules that change figures are set with --rule;
docs/benchmarks.md lists them.
"""

Data = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help='Folder with annotations and videos; "dynfocus eval check" says how.',
    ),
]
Rules = Annotated[
    list[str] | None,
    typer.Option(
        "--rule",
        metavar="NAME=VALUE",
        help="A rule that changes figures, such as parsing=official; may be repeated.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Running:
    """How much is asked, by how many, and where the results go."""

    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Where results go.")
    ] = Path("runs/eval")
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            callback=at_least_one,
            help="About so many questions, a fixed sample of whole videos.",
        ),
    ] = None
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-new-tokens",
            callback=at_least_one,
            help="Longest answer, in text tokens; by default 16 for a letter, else what "
            "the benchmark allows.",
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Say what a run would take: frames, tokens, time, a judge's cost. One "
            "question is answered here to measure, unless earlier answers tell.",
        ),
    ] = False
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            callback=at_least_one,
            help="Processes, or actors of Ray; each loads the model.",
        ),
    ] = 1
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help='Work on a Ray cluster: its address, "auto", or "local" to start one.',
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Judging:
    """Who judges answers that no rule can."""

    judge_url: Annotated[
        str | None,
        typer.Option(
            "--judge-url",
            metavar="URL",
            help="An OpenAI-compatible server that judges.",
        ),
    ] = None
    judge_model: Annotated[
        str | None,
        typer.Option(
            "--judge-model",
            metavar="NAME",
            help="The judge: its name at the server; without --judge-url a folder or a "
            "hub name of a language model that runs here.",
        ),
    ] = None
    judge_key_env: Annotated[
        str | None,
        typer.Option(
            "--judge-key-env",
            metavar="NAME",
            help="Environment variable with the judge's key; by default OPENAI_API_KEY.",
        ),
    ] = None
    judge_workers: Annotated[
        int,
        typer.Option("--judge-workers", callback=at_least_one, help="Calls at a time."),
    ] = 4
    judge_price: Annotated[
        tuple[float, float] | None,
        typer.Option(
            "--judge-price",
            metavar="IN OUT",
            help="What a million tokens to the judge and from it cost, for --dry-run.",
        ),
    ] = None

    def open(self) -> Judge | None:
        """Reach the judge; None where none is named."""
        if self.judge_url is None and self.judge_model is None:
            return None
        from dynfocus.evaluation.judges import open_judge

        return open_judge(self.judge_url, self.judge_model, self.judge_key_env)


def _command(name: str, what: str) -> Command:
    """Make the command of a benchmark."""

    def run(
        data: Data,
        running: Running,
        judging: Judging,
        loading: Loading,
        reading: Reading,
        rule: Rules = None,
        model: Model = "nano",
        scorer: Scorer = None,
        method: Method = None,
        json: Json = False,
    ) -> None:
        options = asdict(reading) | {"method": method}
        loaded = asdict(loading) | {"scorer": scorer_of(model, scorer)}
        _run(name, data, rule or [], running, judging, model, options, loaded, json)

    run.__doc__ = _HELP.format(what=what, name=name)
    run.__name__ = name.replace("-", "_")
    return command(
        f"dynfocus eval {name} --data FOLDER --model MODEL --max-frames 64",
        f"dynfocus eval {name} --data FOLDER --limit 100 --dry-run",
        name=name,
    )(run)


def run_folder(
    name: str, data: Path, out: Path, model: str, ask: Mapping[str, Any], json: bool
) -> None:
    """Ask a model what a folder holds, with no rule changed and no judge.

    Args:
        name: The benchmark.
        data: Its folder.
        out: Folder of results.
        model: What answers.
        ask: Fields of `AskOptions`.
        json: Print the document, not its page.
    """
    loading = {"scorer": scorer_of(model, None)}
    _run(name, data, [], Running(out=out), Judging(), model, ask, loading, json)


def _run(
    name: str,
    data: Path,
    rules: list[str],
    running: Running,
    judging: Judging,
    model: str,
    ask: Mapping[str, Any],
    loading: Mapping[str, Any],
    json: bool,
) -> None:
    from dynfocus.evaluation.benchmarks.asking import RunSettings
    from dynfocus.evaluation.benchmarks.loading import (
        find_doubts,
        open_benchmark,
        sample,
    )
    from dynfocus.evaluation.benchmarks.options import read_options
    from dynfocus.evaluation.benchmarks.registry import load_benchmark
    from dynfocus.evaluation.benchmarks.results import (
        describe_failed,
        describe_missing,
    )
    from dynfocus.evaluation.benchmarks.running import run_benchmark
    from dynfocus.models.options import AskOptions

    options = read_options(rules)
    opened = open_benchmark(load_benchmark(name), data, options)
    settings = RunSettings(
        model=model,
        ask=AskOptions(**ask),
        max_new_tokens=running.max_new_tokens,
        limit=running.limit,
        workers=running.workers,
        ray=running.ray,
        judge_workers=judging.judge_workers,
    )
    load = _loader(model, settings, loading)
    if running.dry_run:
        _plan(opened, settings, running.out, load, judging, json)
        return
    for doubt in find_doubts(opened, sample(opened.items, running.limit)):
        warn(doubt)
    judge = judging.open() if opened.benchmark.is_judged else None
    if opened.benchmark.is_judged and judge is None:
        warn(
            f"{name} has answers that a judge must rate, and none is named; they are kept, "
            "and judged when the same command is run with --judge-url or --judge-model"
        )
    with progress_bar("Asking") as progress, progress_bar("Judging") as judging_bar:
        document = run_benchmark(
            opened,
            load,
            settings,
            running.out,
            judge=judge,
            progress=progress,
            judging=judging_bar,
        )
    for told in (describe_missing(document), describe_failed(document)):
        if told:
            warn(told)
    written = write_result(running.out, name, document)
    if document["submission"] is not None:
        _write_submission(running.out / f"{name}.submission.json", document)
    show_result(written, json)
    if document["counts"]["missing"] or document["counts"]["failed"]:
        raise typer.Exit(1)


def _loader(model: str, settings: RunSettings, loading: Mapping[str, Any]) -> Loader:
    """Give what loads the model, once where it works in this process."""
    from functools import cache

    from dynfocus.bulk import ModelLoader
    from dynfocus.models.options import LoadOptions

    loader = ModelLoader(name=model, options=LoadOptions(**loading))
    return loader if settings.workers > 1 or settings.ray else cache(loader)


def _write_submission(path: Path, document: Mapping[str, Any]) -> None:
    from dynfocus.atomic import write_atomically
    from dynfocus.text import to_json

    write_atomically(path, to_json(document["submission"]) + "\n")
    say(f"Submission, which is not sent: {path}")


def _plan(
    opened: OpenedBenchmark,
    settings: RunSettings,
    out: Path,
    load: Loader,
    judging: Judging,
    json: bool,
) -> None:
    """Print what a run would take."""
    from dynfocus.evaluation.benchmarks.planning import plan_run

    quiet_libraries()
    with progress_bar("Looking at videos") as progress:
        plan = plan_run(
            opened, settings, out, load, price=judging.judge_price, progress=progress
        )
    if json:
        print_json(plan)
        return
    for name, value in plan.items():
        shown = "unknown" if value is None else value
        if isinstance(value, list):
            shown = ", ".join(value) or "none"
        print(
            f"{name.replace('_', ' ')}: {f'{shown:,}' if isinstance(shown, int | float) else shown}"
        )


COMMANDS = tuple(_command(name, what) for name, what in BENCHMARKS.items())
"""A command for each benchmark of this package."""


class BenchmarkGroup(TyperGroup):
    """The commands of ``dynfocus eval``, and a benchmark of each entry point."""

    def list_commands(self, ctx: Any) -> list[str]:
        """List our commands, then the benchmarks of other packages."""
        return [*super().list_commands(ctx), *self._others(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Give a command; that of another package's benchmark is made now."""
        found = super().get_command(ctx, cmd_name)
        if found is None and cmd_name in self._others(ctx):
            app = typer.Typer(rich_markup_mode=None)
            _command(cmd_name, f"{cmd_name}, of another package.").add_to(app)
            found = typer.main.get_command(app)
        return found

    def _others(self, ctx: Any) -> list[str]:
        from dynfocus.extensions import BENCHMARKS as GROUP
        from dynfocus.extensions import list_extensions

        own = super().list_commands(ctx)
        return [name for name in list_extensions(GROUP) if name not in own]
