"""FineAction-CGR of SlowFocus: captions, grounding and reasoning about short actions.

Its annotations were never released; the shape is what the published scripts read. Times
stand in questions and answers as markers such as ``<s0>``, whose seconds are in the meta
data.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import (
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
)
from dynfocus.evaluation.benchmarks.captions import caption_figures
from dynfocus.evaluation.benchmarks.choice import counted, mean_score, share
from dynfocus.evaluation.benchmarks.open_answers import MOST, mark_open_answer
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.metrics import Record

_KINDS = {"grd": "grounding", "cap": "captioning", "rsn": "reasoning"}
_MARKER = re.compile(r"<[se]\d+>")
_SEGMENT = re.compile(r"(\d{2,4})\s*(?:to|and)\s*(\d{2,4})")
_SECONDS = re.compile(
    r"(\d+(?:\.\d+)?)\s*(?:s|seconds?)?\s*(?:to|and|-|until)\s*(\d+(?:\.\d+)?)"
)
_CLOCK = re.compile(r"(\d+):(\d\d)(?:\.\d+)?\s*(?:to|and|-|until)\s*(\d+):(\d\d)")
_SHARES = (0.3, 0.5, 0.7)
_TINY = 1e-5


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read the list of items."""
    patterns = ("fineaction*.json*", "*tsearch*.json*", "*cgr*.json*", "test.json")
    files = need_files(data, patterns, "fineaction-cgr")
    rows = [row for path in files for row in read_rows(path)]
    if not has_fields(rows[0], "id", "video", "task", "question", "answer", "meta"):
        wanted = "the known: id, video, task, question, answer, meta"
        raise unknown_shape(files[0], rows[0], wanted)
    names = number_copies(str(row["id"]) for row in rows)
    items = [_item(row, name) for row, name in zip(rows, names, strict=True)]
    skipped = [i for i in items if i.kind == "grounding" and not i.evidence]
    notes = [f"{len(skipped)} grounding answers without two markers are left out"]
    items = [item for item in items if item not in skipped]
    return Loaded(
        items=items,
        shape="the list of the published scripts",
        files=files,
        notes=notes if skipped else (),
    )


def _item(row: dict[str, Any], name: str) -> Item:
    task = str(row["task"])
    kind = next((full for short, full in _KINDS.items() if short in task), task)
    meta = row["meta"]
    if not float(meta["duration"]) > 0:
        raise ValueError(f"{name}: duration must be above 0, got {meta['duration']!r}")
    marks = {mark: float(s) for mark, s in (meta.get("token") or {}).items()}
    said = [marks[m] for m in _MARKER.findall(str(row["answer"])) if m in marks]
    named = [marks[m] for m in _MARKER.findall(str(row["question"])) if m in marks]
    evidence = ((min(said), max(said)),) if len(said) == 2 else ()
    question = str(row["question"]).replace("<video>", "").strip()
    return Item(
        id=name,
        video=str(row["video"]),
        question=_write(question, marks),
        answer=_write(str(row["answer"]), marks),
        kind=kind,
        groups={
            "task": task,
            "duration": float(meta["duration"]),
            "named": sorted(named),
        },
        evidence=evidence,
    )


def _write(text: str, marks: dict[str, float]) -> str:
    """Put seconds in place of markers."""
    return _MARKER.sub(lambda m: f"{marks[m[0]]:g} s" if m[0] in marks else m[0], text)


def from_grid(text: str) -> float:
    """Read a step as the share of the video that is over."""
    return int(text) / 10 ** len(text)


def read_segment(text: str, duration: float) -> tuple[float, float] | None:
    """Read the first interval of a reply, as shares of the video.

    Steps of two to four digits come first, as the published pattern has them, then
    minutes and seconds; numbers with "s" or a point are seconds.

    Args:
        text: The reply.
        duration: Length of the video in seconds.
    """
    in_seconds = re.search(r"\d\s*s\b|\d\s*seconds?\b|\d\.\d", text) is not None
    steps = None if in_seconds or _CLOCK.search(text) else _SEGMENT.search(text)
    if steps:
        return from_grid(steps[1]), from_grid(steps[2])
    said = read_seconds(text)
    return None if said is None else (said[0] / duration, said[1] / duration)


def read_seconds(text: str) -> tuple[float, float] | None:
    """Read the first interval of a reply in seconds: minutes and seconds, or numbers.

    Args:
        text: The reply.
    """
    clock = _CLOCK.search(text)
    if clock:
        a, b, c, d = map(int, clock.groups())
        return 60.0 * a + b, 60.0 * c + d
    plain = _SECONDS.search(text)
    return (float(plain[1]), float(plain[2])) if plain else None


def segment_iou(said: tuple[float, float] | None, true: Sequence[float]) -> float:
    """Give overlap over span, which is 0 without a segment; the reply is not sorted."""
    if said is None:
        return 0.0
    begin, end = said
    overlap = max(0.0, min(end, true[1]) - max(begin, true[0]))
    return overlap / (max(end, true[1]) - min(begin, true[0]) + _TINY)


def put(item: Item, options: BenchmarkOptions) -> str:
    """Ask the question; of grounding, say how times are written."""
    if item.kind != "grounding":
        return item.question
    return f'{item.question}\nAnswer with "from M:SS to M:SS".'


def to_judge(record: Record) -> list[JudgeTask]:
    """Ask a judge about reasoning alone."""
    if record["kind"] != "reasoning" or record.get("answer") is None:
        return []
    fields = {
        "question": str(record["stored_question"]),
        "answer": str(record["truth"]),
        "pred": str(record["answer"]),
    }
    return [JudgeTask(aspect="agreement", fields=fields)]


def mark(record: Record, options: BenchmarkOptions) -> dict[str, Any]:
    """Measure the overlap of grounding; of reasoning take over what the judge said."""
    if record["kind"] == "reasoning":
        return mark_open_answer(record, options)
    if record["kind"] != "grounding":
        return {"right": 0.0, "is_read": record.get("answer") is not None}
    duration = record["groups"]["duration"]
    said = read_segment(str(record.get("answer") or ""), duration)
    true = [seconds / duration for seconds in record["evidence"][0]]
    iou = segment_iou(said, true)
    return mark_overlap(iou, is_read=said is not None)


def mark_overlap(iou: float, *, is_read: bool) -> dict[str, Any]:
    """Mark an interval by its overlap with the true one, from 0 to 1."""
    reached = {f"reached_{share:g}": iou >= share for share in _SHARES}
    return {"right": iou, "is_read": is_read, **reached}


def grounding_figures(records: Sequence[Record]) -> list[Figure]:
    """Make the mean overlap, and how often it reaches 0.3, 0.5 and 0.7.

    Args:
        records: Records that `mark_overlap` marked.
    """
    fields = {"mIoU": "right"} | {f"R1@{one:g}": f"reached_{one:g}" for one in _SHARES}
    return [
        Figure(
            label=label,
            estimate=share(records, field),
            num_questions=len(records),
            is_main=True,
        )
        for label, field in fields.items()
    ]


def figures(records: Sequence[Record], options: BenchmarkOptions) -> list[Figure]:
    """Make the figures of grounding, captioning and reasoning."""
    by_kind: dict[str, list[Record]] = defaultdict(list)
    for record in counted(records, options):
        by_kind[record["kind"]].append(record)
    found: list[Figure] = []
    if by_kind["grounding"]:
        found += grounding_figures(by_kind["grounding"])
    for kind in ("captioning", "reasoning"):
        if by_kind[kind]:
            found += caption_figures(by_kind[kind], kind)
    reasoned = by_kind["reasoning"]
    if any(record.get("verdicts") for record in reasoned):
        size = len(reasoned)
        found += [
            Figure(
                label="Accuracy",
                estimate=share(reasoned),
                num_questions=size,
                is_main=True,
            ),
            Figure(
                label="Score",
                estimate=mean_score(reasoned, "score", MOST),
                num_questions=size,
                unit="of 5",
                is_main=True,
            ),
        ]
    return found


BENCHMARK = Benchmark(
    name="fineaction-cgr",
    title="FineAction-CGR",
    source=(
        "its annotations were never released; 'dynfocus world export --format "
        "fineaction-cgr' makes some of this shape, and the videos are those of FineAction "
        "(Richard-61/FineAction)"
    ),
    layout=(
        "fineaction_cgr.json (any fineaction*.json)",
        "fineaction/videos/NAME.mp4 (any folder)",
    ),
    splits=(),
    load=load,
    put=put,
    mark=mark,
    figures=figures,
    compared=lambda records, options: [
        r for r in counted(records, options) if r["kind"] == "grounding"
    ],
    to_judge=to_judge,
    rules=("judge_score",),
    max_new_tokens=1024,
    published=(
        Published(
            system="SlowFocus (Vicuna-7B)",
            values={
                "mIoU": 66.68,
                "R1@0.3": 85.80,
                "R1@0.5": 73.01,
                "R1@0.7": 56.25,
                "Accuracy": 53.10,
                "Score": 2.78,
            },
            source="SlowFocus",
        ),
        Published(
            system="VTimeLLM", values={"mIoU": 27.69}, source="SlowFocus", is_own=False
        ),
        Published(
            system="LLaMA-VID, retrained",
            values={"mIoU": 22.38, "Accuracy": 24.81},
            source="SlowFocus",
            is_own=False,
        ),
    ),
)
"""The benchmark."""
