"""Answers judged and marked: what became of each question, and whether it is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.asking import MISSING
from dynfocus.evaluation.benchmarks.benchmark import Benchmark
from dynfocus.evaluation.benchmarks.choice import counted
from dynfocus.evaluation.benchmarks.loading import OpenedBenchmark
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.judges.grading import Grades, grade
from dynfocus.evaluation.judges.judge import Judge

Progress = Callable[[int, int], None]
Records = list[dict[str, Any]]


def judge_records(
    benchmark: Benchmark,
    records: Records,
    judge: Judge,
    kept: str | Path | None = None,
    workers: int = 4,
    progress: Progress | None = None,
) -> Grades:
    """Have records judged; each gets ``verdicts``, None for what was no verdict.

    Args:
        benchmark: What says what is judged.
        records: Records of answers; changed.
        judge: Who judges.
        kept: File of replies.
        workers: Calls at a time.
        progress: Called with verdicts done and verdicts in all.
    """
    tasks = [
        (record, task) for record in records for task in benchmark.to_judge(record)
    ]
    grades = grade(
        [task for _, task in tasks], judge, kept, workers=workers, progress=progress
    )
    for (record, _), verdict in zip(tasks, grades.verdicts, strict=True):
        is_judged = verdict.state == "judged"
        record.setdefault("verdicts", []).append(verdict.values if is_judged else None)
        record.setdefault("verdict_replies", []).append(verdict.reply)
    return grades


def mark_records(opened: OpenedBenchmark, records: Sequence[dict[str, Any]]) -> Records:
    """Mark records by the rules of the benchmark, and say what became of each."""
    marked = []
    for record in records:
        state = "answered"
        if "error" in record:
            is_missing = str(record["error"]).startswith(MISSING)
            state = "missing" if is_missing else "failed"
        whole = {**record, "state": state}
        marks = opened.benchmark.mark(whole, opened.options)
        if state == "answered" and not marks.get("is_read", True):
            whole["state"] = "unparsed"
        marked.append({**whole, **marks})
    return marked


_SHORT = (
    *("id", "video", "kind", "truth", "answer", "error", "state", "parsed", "right"),
    *("score", "verdict_replies", "tokens", "seconds", "num_frames"),
)


def short_records(
    benchmark: Benchmark, options: BenchmarkOptions, marked: Records
) -> Records:
    """Keep of records what tables and people need.

    ``compared`` is what a record, or the group that it stands for, adds to the main
    figure; one without it is no part of that.
    """
    compared = (benchmark.compared or counted)(marked, options)
    values = {record["id"]: float(record["right"]) for record in compared}
    return [
        {name: record[name] for name in _SHORT if name in record}
        | ({"compared": values[record["id"]]} if record["id"] in values else {})
        for record in marked
    ]
