"""``dynfocus eval check``: what a benchmark needs, and what its folder holds of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynfocus.cli.benchmarks import Data, Rules
from dynfocus.cli.commands import command
from dynfocus.cli.console import print_json, say
from dynfocus.cli.options import Json
from dynfocus.text import plural

if TYPE_CHECKING:
    from dynfocus.evaluation.benchmarks.loading import OpenedBenchmark


@command(
    "dynfocus eval check video-mme --data FOLDER",
    "dynfocus eval check mlvu --data FOLDER --json",
)
def check(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A benchmark of dynfocus eval.")
    ],
    data: Data,
    rule: Rules = None,
    json: Json = False,
) -> None:
    """Check the folder of a benchmark; exit code 1 if anything is missing.

    Says where annotations and videos are to be had, which layout is expected, which shape
    and split the annotations are, and which videos are missing or half downloaded.
    """
    from dynfocus.evaluation.benchmarks.loading import check_folder, open_benchmark
    from dynfocus.evaluation.benchmarks.options import read_options
    from dynfocus.evaluation.benchmarks.registry import load_benchmark

    benchmark = load_benchmark(name)
    options = read_options(rule or [])
    if not json:
        print(f"{benchmark.title}: {benchmark.source}.\n\nLayout of the folder:")
        print("".join(f"  {line}\n" for line in benchmark.layout))
        if benchmark.rules:
            usual = options.to_dict()
            told = ", ".join(f"{one}={usual[one]}" for one in benchmark.rules)
            print(f"Rules that change its figures: {told}\n")
    opened = open_benchmark(benchmark, data, options)
    found = check_folder(opened)
    if json:
        print_json(
            found | {"source": benchmark.source, "layout": list(benchmark.layout)}
        )
    else:
        _print_check(opened, found)
    if not found["is_whole"]:
        raise typer.Exit(1)


_MOST_SHOWN = 20


def _print_check(opened: OpenedBenchmark, found: Mapping[str, Any]) -> None:
    from dynfocus.evaluation.benchmarks.loading import describe_split

    print(f"Annotations: {', '.join(found['files'])}, {found['shape']}")
    print(f"Questions: {describe_split(opened)}")
    print(f"Videos: {found['videos_found']:,} of {found['videos']:,} found")
    for what, names in (
        ("Missing", found["missing"]),
        ("Half downloaded", found["partial"]),
    ):
        if names:
            more = len(names) - _MOST_SHOWN
            rest = f" and {more:,} more" if more > 0 else ""
            print(f"{what}: {', '.join(names[:_MOST_SHOWN])}{rest}")
    for note in found["notes"]:
        print(f"Note: {note}")
    if found["is_whole"]:
        print("Everything is there.")
    else:
        say(
            f"dynfocus: {plural(len(found['missing']), 'video')} missing, "
            f"{plural(len(found['partial']), 'file')} half downloaded"
        )
