"""A benchmark run: questions asked in bulk, judged, marked, summed up, kept on the way.

Files of a run: ``NAME.jsonl`` with every answer as it comes, ``NAME.judge.jsonl`` with
the replies of a judge, ``NAME.scored.jsonl`` with a mark a question, and the result itself
as ``NAME.json``, ``NAME.md`` and a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynfocus.atomic import write_atomically
from dynfocus.bulk import run_rows
from dynfocus.evaluation.benchmarks.asking import (
    RunSettings,
    find_files,
    make_asker,
    make_rows,
    make_stamp,
)
from dynfocus.evaluation.benchmarks.likeness import add_likeness
from dynfocus.evaluation.benchmarks.loading import OpenedBenchmark, sample
from dynfocus.evaluation.benchmarks.marking import (
    judge_records,
    mark_records,
    short_records,
)
from dynfocus.evaluation.benchmarks.results import summarise
from dynfocus.evaluation.judges.judge import Judge
from dynfocus.text import to_json

if TYPE_CHECKING:
    from dynfocus.bulk.asking import Loader

Progress = Callable[[int, int], None]


def run_benchmark(
    opened: OpenedBenchmark,
    load: Loader,
    settings: RunSettings,
    out: str | Path,
    *,
    judge: Judge | None = None,
    progress: Progress | None = None,
    judging: Progress | None = None,
) -> dict[str, Any]:
    """Ask a model all questions, judge the answers and make the document of the result.

    What is answered or judged in the folder of results is not asked again.

    Args:
        opened: The questions.
        load: Loads the model for the worker of a number.
        settings: What answers, and how.
        out: Folder of results.
        judge: Who judges free answers; without one they are not judged.
        progress: Called with questions done and questions in all.
        judging: Called with verdicts done and verdicts in all.

    Returns:
        The document, without its page.

    Raises:
        ValueError: The folder holds answers of another run, or of other weights.
    """
    benchmark = opened.benchmark
    folder = Path(out)
    items = sample(opened.items, settings.limit)
    answers = folder / f"{benchmark.name}.jsonl"
    records = run_rows(
        make_asker(opened, load, items),
        make_rows(opened, items, settings.ask, settings.max_new_tokens),
        answers,
        workers=settings.workers,
        ray=settings.ray,
        stamp=make_stamp(opened, settings),
        retries=True,
        progress=progress,
    )
    weights = {r["weights"] for r in records if "weights" in r}
    if len(weights) > 1:
        raise ValueError(
            f"{answers} holds answers of {len(weights)} models that are all called "
            f"{settings.model}; name another folder with --out"
        )
    grades = None
    if benchmark.is_judged and judge is not None:
        kept = folder / f"{benchmark.name}.judge.jsonl"
        grades = judge_records(
            benchmark, records, judge, kept, settings.judge_workers, judging
        )
    if opened.options.likeness == "measured":
        add_likeness(records, find_files(opened, items))
    marked = mark_records(opened, records)
    scored = folder / f"{benchmark.name}.scored.jsonl"
    lines = short_records(benchmark, opened.options, marked)
    write_atomically(scored, "".join(f"{to_json(line)}\n" for line in lines))
    return summarise(opened, settings, marked, grades, scored.name)
