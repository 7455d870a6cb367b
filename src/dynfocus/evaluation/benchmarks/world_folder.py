"""FocusWorld from a folder: what ``dynfocus world make`` or ``export`` wrote, asked as it is.

``dynfocus eval focusworld`` without a folder makes its own videos; see `focusworld`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import read_table
from dynfocus.evaluation.benchmarks.benchmark import Benchmark, Figure, Item, Loaded
from dynfocus.evaluation.benchmarks.choice import counted, parts, share
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.metrics import Record, answer_constantly, is_right_answer

_FACTS = ("pair", "pair_id", "group", "held_out")


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read the lines of ``benchmark.jsonl``."""
    fields = ("id", "video", "kind", "question", "answer", "evidence")
    files, rows = read_table(data, ("benchmark.jsonl",), "focusworld", fields)
    items = [
        Item(
            id=str(row["id"]),
            video=str(row["video"]),
            question=str(row["question"]),
            answer=str(row["answer"]),
            kind=str(row["kind"]),
            groups={"kind": row["kind"], **{f: row[f] for f in _FACTS if row.get(f)}},
            evidence=tuple((float(a), float(b)) for a, b in row["evidence"]),
        )
        for row in rows
    ]
    return Loaded(items=items, shape="benchmark.jsonl", files=files)


def mark(record: Record, options: BenchmarkOptions) -> dict[str, Any]:
    """Compare the words, or half of the overlap of an interval."""
    reply = record.get("answer")
    if reply is None:
        return {"right": False, "is_read": False}
    evidence = [(a, b) for a, b in record["evidence"]]
    return {"right": is_right_answer(record, str(reply), evidence), "is_read": True}


def figures(records: Sequence[Record], options: BenchmarkOptions) -> list[Figure]:
    """Make the accuracy over all and of each kind, the best constant answer beside."""
    kept = counted(records, options)
    size = len(kept)
    asked = [{**record, "question": record["stored_question"]} for record in kept]
    found = [
        Figure(label="Overall", estimate=share(kept), num_questions=size, is_main=True),
        Figure(
            label="Best constant answer of each kind",
            estimate=share(answer_constantly(asked)),
            num_questions=size,
            is_beside=True,
        ),
    ]
    for kind, some in parts(kept, "kind").items():
        found.append(Figure(label=kind, estimate=share(some), num_questions=len(some)))
    return found


BENCHMARK = Benchmark(
    name="focusworld",
    title="FocusWorld",
    source="'dynfocus world make FOLDER' writes it, a fresh test with each --seed",
    layout=("benchmark.jsonl", "videos/SPLIT-SEED.mp4"),
    splits=(),
    load=load,
    put=lambda item, options: item.question,
    mark=mark,
    figures=figures,
    video_folders=("videos",),
    max_new_tokens=64,
)
"""The benchmark."""
