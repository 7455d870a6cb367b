"""MLVU (dev): seven tasks with options, two whose answers are judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import (
    find_files,
    has_fields,
    letter_of,
    need_files,
    number_copies,
    read_rows,
    unknown_shape,
)
from dynfocus.evaluation.benchmarks.benchmark import (
    Benchmark,
    Figure,
    Item,
    JudgeTask,
    Loaded,
    Split,
    published_rows,
)
from dynfocus.evaluation.benchmarks.choice import (
    BRACKETED,
    Reading,
    choice_figures,
    counted,
    mean_score,
    share,
)
from dynfocus.evaluation.benchmarks.letters import read_as_mlvu
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.judges.verdicts import read_as_mlvu as read_verdict_as_mlvu
from dynfocus.evaluation.metrics import Record
from dynfocus.text import plural

_TASKS = {
    "topic_reasoning": ("TR", "7_topic_reasoning"),
    "anomaly_reco": ("AR", "6_anomaly_reco"),
    "findNeedle": ("NQA", "2_needle"),
    "ego": ("ER", "3_ego"),
    "plotQA": ("PQA", "1_plotQA"),
    "order": ("AO", "5_order"),
    "count": ("AC", "4_count"),
    "subPlot": ("SSC", "8_sub_scene"),
    "summary": ("VS", "9_summary"),
}
_OTHER_NAMES = {"needle": "findNeedle", "sub_scene": "subPlot"}
_JUDGED = ("SSC", "VS")
_HALVES = {
    "SSC": ("score_accuracy", "score_relevance"),
    "VS": ("score_completeness", "score_reliability"),
}
_LEAST, _MOST = 2.0, 10.0
_SYSTEM = (
    "Watch this video carefully: what happens and in which order, what things look like, "
    "who does what and how. "
)


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read the nine files of the authors, or the one file of lmms-eval."""
    files = [
        found[0]
        for _, stem in _TASKS.values()
        if (found := find_files(data, (f"{stem}.json",)))
    ]
    shape = "a file a task"
    if not files:
        files = need_files(data, ("mlvu*.json*", "dev*.parquet", "*.parquet"), "mlvu")
        shape = "lmms-eval's file"
    rows = [row for path in files for row in read_rows(path)]
    whole = [
        row
        for row in rows
        if row.get("question") and (row.get("video") or row.get("video_name"))
    ]
    if not whole or not (
        has_fields(whole[0], "question_type") or has_fields(whole[0], "task_type")
    ):
        wanted = "the known shapes: video, question, question_type; video_name, question, task_type"
        raise unknown_shape(files[0], rows[0], wanted)
    items = [_item(row) for row in whole]
    names = number_copies(item.id for item in items)
    items = [_named(item, name) for item, name in zip(items, names, strict=True)]
    return Loaded(
        items=items, shape=shape, files=files, notes=_notes(rows, whole, items)
    )


def _named(item: Item, name: str) -> Item:
    return Item(**{**vars(item), "id": name})


def _item(row: dict[str, Any]) -> Item:
    named = str(row.get("question_type") or row.get("task_type"))
    task = _OTHER_NAMES.get(named, named)
    short, folder = _TASKS.get(task, (task, task))
    choices = tuple(map(str, row.get("candidates") or ()))
    answer = str(row["answer"])
    if choices and "question_type" in row:
        answer = letter_of(answer, choices, last=True) or "@"  # as the official script
    question = str(row["question"])
    if choices and "task_type" in row:  # the options stand in the question, too
        question = question.split("\n(A) ", 1)[0]
    video = str(row.get("video") or row["video_name"])
    points = row.get("scoring_points") or ()
    return Item(
        id=str(row.get("question_id") or f"{short}-{video}"),
        video=f"{folder}/{video}",
        question=question,
        choices=choices,
        answer=answer,
        kind=short,
        groups={"task": short, "points": list(points), "folder": folder},
    )


def _notes(
    rows: Sequence[Any], whole: Sequence[Any], items: Sequence[Item]
) -> list[str]:
    notes = []
    if len(rows) > len(whole):
        notes.append(f"{plural(len(rows) - len(whole), 'empty row')} left out")
    lost = sum(item.answer == "@" for item in items)
    if lost:
        notes.append(
            f"the answer of {plural(lost, 'question')} is none of the options, so no reply "
            "can be right"
        )
    return notes


def put(item: Item, options: BenchmarkOptions) -> str:
    """Ask for the best option, or put the question alone where the answer is free."""
    if not item.choices:
        return _SYSTEM + "Then answer the question.\n" + item.question
    return (
        f"{_SYSTEM}Then choose the best option that answers the question.\n"
        f"Question: {item.question}\nOptions:\n{BRACKETED(item.choices)}\n"
        "Give the best option alone.\nBest option: ("
    )


def to_judge(record: Record) -> list[JudgeTask]:
    """Ask a judge about scenes, by their scoring points, and about summaries."""
    if record["kind"] not in _JUDGED or record.get("answer") is None:
        return []
    points = record["groups"]["points"]
    truth = "\n".join(f"- {point}" for point in points) or record["truth"]
    fields = {
        "question": str(record["stored_question"]),
        "answer": truth,
        "pred": str(record["answer"]),
    }
    aspect = "scene" if record["kind"] == "SSC" else "summary"
    return [JudgeTask(aspect=aspect, fields=fields)]


_READING = Reading(official=read_as_mlvu)


def mark(record: Record, options: BenchmarkOptions) -> dict[str, Any]:
    """Read the letter, or add up the two scores of the judge; without any both are 1."""
    if record["kind"] not in _JUDGED:
        return _READING.mark(record, options)
    keys = _HALVES[record["kind"]]
    values = (record.get("verdicts") or [None])[0]
    if options.parsing == "official" and record.get("verdict_replies"):
        read = read_verdict_as_mlvu(record["verdict_replies"][0], keys)
        values = dict(zip(keys, read, strict=False)) if read else None
    scores = [float((values or {}).get(key, _LEAST / 2)) for key in keys]
    total = sum(scores)
    return {
        "score": total,
        "score_pooled": int(total),
        "right": (total - _LEAST) / (_MOST - _LEAST),
        "is_read": values is not None,
    }


def figures(records: Sequence[Record], options: BenchmarkOptions) -> list[Figure]:
    """Make M-Avg with its seven tasks, and G-Avg with its two."""
    by_letter = [r for r in records if r["kind"] not in _JUDGED]
    judged = counted([r for r in records if r["kind"] in _JUDGED], options)
    found: list[Figure] = []
    if by_letter:
        is_macro = options.average == "macro"
        found += choice_figures(
            by_letter, options, groups=("task",), macro=is_macro, main="M-Avg"
        )
        kept = counted(by_letter, options)
        other = Figure(
            label="M-Avg, all questions pooled" if is_macro else "M-Avg, mean of tasks",
            estimate=share(kept, macro=not is_macro),
            num_questions=len(kept),
            is_beside=True,
        )
        found.append(other)
    if judged:
        found += _judged_figures(judged, options)
    return found


def compared(records: Sequence[Record], options: BenchmarkOptions) -> list[Record]:
    """Compare the questions with options, which M-Avg averages."""
    return counted([r for r in records if r["kind"] not in _JUDGED], options)


def _judged_figures(
    records: Sequence[Record], options: BenchmarkOptions
) -> list[Figure]:
    by_task = {
        task: [r for r in records if r["kind"] == task]
        for task in _JUDGED
        if any(r["kind"] == task for r in records)
    }
    means = {task: mean_score(some, "score", _MOST) for task, some in by_task.items()}
    of_tasks = mean_score(records, "score", _MOST, macro=True)
    pooled = mean_score(records, "score_pooled", _MOST)
    estimates = {"tasks": of_tasks, "pooled": pooled}
    chosen = estimates.pop(options.generation_average)
    ((other, beside),) = estimates.items()
    counts = Counter(record["kind"] for record in records)
    number = len(records)
    return [
        Figure(
            label="G-Avg",
            estimate=chosen,
            num_questions=number,
            unit="of 10",
            is_main=True,
        ),
        *(
            Figure(label=task, estimate=mean, num_questions=counts[task], unit="of 10")
            for task, mean in means.items()
        ),
        Figure(
            label=f"G-Avg, {'pooled and cut' if other == 'pooled' else 'mean of tasks'}",
            estimate=beside,
            num_questions=number,
            unit="of 10",
            is_beside=True,
        ),
    ]


_PUBLISHED = (
    ("Qwen3.5-4B", 82.8, "2 fps, about 224k tokens", "second-hand", False),
    ("Qwen3-VL-8B", 78.1, "", "LLaVA-OneVision-2, table", False),
    ("InternVideo3-8B", 77.3, "", "OpenGVLab/InternVideo", True),
    (
        "LLaVA-OneVision-2-8B",
        76.6,
        "codec-selected patches",
        "EvolvingLMMs-Lab/LLaVA-OneVision-2",
        True,
    ),
    ("MiniCPM-o 4.5", 76.5, "", "OpenBMB/MiniCPM-V", True),
    ("LLaVA-Video-7B + TSPO", 76.3, "64 frames", "Hui-design/TSPO", True),
    ("Qwen2.5-VL-7B + AdaReTaKe", 75.0, "at most 2,048 frames", "AdaReTaKe", True),
    ("VideoChat-Flash-7B", 74.7, "1 fps, 16 tokens a frame", "VideoChat-Flash", True),
    ("VideoLLaMA3-7B", 73.0, "at most 180 frames", "MLVU leaderboard", True),
    ("Qwen2.5-VL-7B", 70.2, "", "AdaReTaKe, table", False),
    ("DynFocus-7B", 49.6, "", "second-hand", False),
)
BENCHMARK = Benchmark(
    name="mlvu",
    title="MLVU (dev)",
    source=(
        "https://github.com/JUNJIE99/MLVU (annotations under data/), videos on the hub "
        "MLVU/MVLU after its terms are accepted"
    ),
    layout=(
        "json/1_plotQA.json to json/9_summary.json (any folder), or mlvu.json of lmms-eval",
        "video/1_plotQA/NAME.mp4 and so on, a folder a task",
    ),
    splits=(
        Split(name="dev", questions=2_593),
        Split(name="dev, questions with options", questions=2_175),
        Split(name="dev, without its empty row", questions=2_592),
        Split(name="dev of lmms-eval", questions=2_174),
    ),
    load=load,
    put=put,
    mark=mark,
    figures=figures,
    compared=compared,
    averages_kinds=lambda options: options.average == "macro",
    to_judge=to_judge,
    video_folders=("video",),
    video_names=lambda name: (name, name.split("_", 1)[-1], name.rsplit("/", 1)[-1]),
    rules=("parsing", "unparsed", "average", "generation_average"),
    max_new_tokens=1000,
    published=published_rows("M-Avg", _PUBLISHED),
)
"""The benchmark."""
