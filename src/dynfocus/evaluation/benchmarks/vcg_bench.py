"""VCG-Bench, the generative benchmark of Video-ChatGPT: five aspects, each judged 0 to 5."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import (
    find_files,
    has_fields,
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
    Published,
    Split,
)
from dynfocus.evaluation.benchmarks.choice import counted, mean_score
from dynfocus.evaluation.benchmarks.open_answers import MOST, put_bare
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.judges.verdicts import round_score
from dynfocus.evaluation.metrics import Record

_ASPECTS = {
    "CI": "correctness",
    "DO": "detail",
    "CU": "context",
    "TU": "temporal",
    "CO": "consistency",
}
_OF_GENERIC = ("CI", "DO", "CU")
_FILES = ("generic", "temporal", "consistency")


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read the three files; consistency gives two questions a row."""
    files, items = [], []
    for part in _FILES:
        found = find_files(
            data, (f"{part}_qa.json", f"*{part}*.json*", f"*{part}*.parquet")
        )
        if found:
            files.append(found[0])
            items += _items(part, found[0])
    if not files:
        need_files(data, [f"{part}_qa.json" for part in _FILES], "vcg-bench")
    missing = [part for part in _FILES if not any(part in path.name for path in files)]
    notes = [f"there is no {part}_qa.json" for part in missing]
    return Loaded(items=items, shape="a file a part", files=files, notes=notes)


def _items(part: str, path: Path) -> list[Item]:
    rows = read_rows(path)
    is_pair = part == "consistency"
    names = ("Q1", "Q2") if is_pair else ("Q",)
    if not has_fields(rows[0], *names, "A", "video_name"):
        raise unknown_shape(path, rows[0], "the known: Q or Q1 and Q2, A, video_name")
    ids = number_copies(f"{part}-{row['video_name']}" for row in rows)
    return [
        Item(
            id=f"{name}-{key}" if is_pair else name,
            video=str(row["video_name"]),
            question=str(row[key]),
            answer=str(row["A"]),
            kind=part,
            groups={"pair": name, "place": place},
        )
        for name, row in zip(ids, rows, strict=True)
        for place, key in enumerate(names)
    ]


def to_judge(record: Record) -> list[JudgeTask]:
    """Ask about each aspect of a part; consistency is asked about pairs, see `pair_up`."""
    if record.get("answer") is None:
        return []
    fields = {
        "question": str(record["stored_question"]),
        "answer": str(record["truth"]),
        "pred": str(record["answer"]),
    }
    if record["kind"] == "generic":
        return [JudgeTask(aspect=_ASPECTS[one], fields=fields) for one in _OF_GENERIC]
    if record["kind"] == "temporal":
        return [JudgeTask(aspect=_ASPECTS["TU"], fields=fields)]
    twin = record.get("twin")
    if not twin or record["groups"]["place"]:
        return []
    fields |= {"question2": str(twin["question"]), "pred2": str(twin["answer"])}
    return [JudgeTask(aspect=_ASPECTS["CO"], fields=fields)]


def pair_up(records: Sequence[dict[str, Any]]) -> None:
    """Give the first answer of each consistency pair its twin; changes the records."""
    pairs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        if record["kind"] == "consistency":
            pairs[record["groups"]["pair"]].append(record)
    for pair in pairs.values():
        first, second = sorted(pair, key=lambda r: int(r["groups"]["place"]))
        if "answer" in second and second["answer"] is not None:
            first["twin"] = {
                "question": second["stored_question"],
                "answer": second["answer"],
            }


def mark(record: Record, options: BenchmarkOptions) -> dict[str, Any]:
    """Round the scores of the aspects of a record; one without a verdict has 0.

    Returns:
        ``scores`` by aspect, their mean as ``score``, ``right`` as its share of 5, and
        ``is_second`` for what only stands beside another.
    """
    names = {"generic": _OF_GENERIC, "temporal": ("TU",)}.get(record["kind"], ("CO",))
    is_second = record["kind"] == "consistency" and bool(record["groups"]["place"])
    verdicts = record.get("verdicts") or [None] * len(names)
    values = [
        0 if v is None else round_score(v["score"], options.judge_score)
        for v in verdicts
    ]
    return {
        "scores": dict(zip(names, values, strict=False)),
        "score": sum(values) / len(values),
        "right": sum(values) / len(values) / MOST,
        "is_read": is_second or all(v is not None for v in verdicts),
        "is_second": is_second,
    }


def figures(records: Sequence[Record], options: BenchmarkOptions) -> list[Figure]:
    """Make the five means; no overall is defined, their mean stands beside."""
    kept = [r for r in counted(records, options) if not r["is_second"]]
    found = []
    for name in _ASPECTS:
        some = [{**r, "one": r["scores"][name]} for r in kept if name in r["scores"]]
        if some:
            found.append(
                Figure(
                    label=name,
                    estimate=mean_score(some, "one", MOST),
                    num_questions=len(some),
                    unit="of 5",
                    is_main=True,
                )
            )
            judged = [r for r in some if r["is_read"]]
            found.append(
                Figure(
                    label=f"{name}, judged answers alone",
                    estimate=mean_score(judged, "one", MOST),
                    num_questions=len(judged),
                    unit="of 5",
                    is_beside=True,
                )
            )
    return found


BENCHMARK = Benchmark(
    name="vcg-bench",
    title="VCG-Bench",
    source=(
        "https://github.com/mbzuai-oryx/Video-ChatGPT, quantitative_evaluation/README.md "
        "(Benchmarking_QA.zip and Test_Videos.zip)"
    ),
    layout=(
        "generic_qa.json, temporal_qa.json, consistency_qa.json",
        "Test_Videos/NAME.mp4 (also .avi, .mov, .mkv)",
    ),
    splits=(
        Split(name="test", questions=1_996 + 499 + 2 * 499, videos=499),
        Split(name="test, generic and temporal", questions=1_996 + 499),
        Split(name="test, generic", questions=1_996),
    ),
    load=load,
    put=put_bare,
    mark=mark,
    figures=figures,
    compared=lambda records, options: [
        r for r in counted(records, options) if not r["is_second"]
    ],
    to_judge=to_judge,
    pair_up=pair_up,
    video_folders=("Test_Videos",),
    rules=("prompt", "judge_score"),
    max_new_tokens=1024,
    published=tuple(
        Published(
            system=system,
            values=dict(zip(_ASPECTS, values, strict=True)),
            source=source,
            is_own=own,
        )
        for system, values, source, own in (
            (
                "SlowFocus (Vicuna-7B)",
                (2.95, 3.03, 3.61, 2.54, 2.60),
                "SlowFocus, table 2",
                True,
            ),
            (
                "LLaMA-VID-7B",
                (2.96, 3.00, 3.53, 2.46, 2.51),
                "SlowFocus, table 2",
                False,
            ),
            (
                "Video-ChatGPT-7B",
                (2.40, 2.52, 2.62, 1.98, 2.37),
                "README of Video-ChatGPT",
                True,
            ),
        )
    ),
)
"""The benchmark."""
