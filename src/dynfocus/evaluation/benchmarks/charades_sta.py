"""Charades-STA: the stretch of a short video that a sentence tells of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import (
    Row,
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
    Loaded,
    Split,
)
from dynfocus.evaluation.benchmarks.choice import counted
from dynfocus.evaluation.benchmarks.fineaction_cgr import (
    grounding_figures,
    mark_overlap,
    read_seconds,
)
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.metrics import Record, interval_iou
from dynfocus.text import read_text

_LINE = re.compile(r"(?P<video>\S+) (?P<start>[\d.]+) (?P<end>[\d.]+)##(?P<caption>.+)")


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read the lines of the authors, or a list of captions with their times."""
    patterns = (
        "charades_sta_test.txt",
        "*harades*sta*test*.txt",
        "*harades*.json*",
        "*harades*.parquet",
    )
    files = need_files(data, patterns, "charades-sta")
    if files[0].suffix == ".txt":
        rows, shape = _read_lines(files[0]), "the authors' lines"
    else:
        rows, shape = read_rows(files[0]), "captions with their times"
    if not has_fields(rows[0], "video", "caption", "timestamp"):
        raise unknown_shape(files[0], rows[0], "the known: video, caption, timestamp")
    names = number_copies(Path(str(row["video"])).stem for row in rows)
    items = [_item(row, name) for row, name in zip(rows, names, strict=True)]
    return Loaded(items=items, shape=shape, files=files[:1])


def _read_lines(path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise ValueError(
                f"{path}: line {number} is not VIDEO START END##CAPTION; fetch it again"
            )
        times = [float(found["start"]), float(found["end"])]
        caption = found["caption"]
        rows.append({"video": found["video"], "caption": caption, "timestamp": times})
    if not rows:
        raise ValueError(f"{path} holds no rows; fetch it again")
    return rows


def _item(row: Row, name: str) -> Item:
    start, end = (float(one) for one in row["timestamp"])
    return Item(
        id=name,
        video=str(row["video"]),
        question=str(row["caption"]).strip(),
        answer=f"from {start:g} s to {end:g} s",
        kind="grounding",
        evidence=((start, end),),
    )


def put(item: Item, options: BenchmarkOptions) -> str:
    """Ask when a sentence holds, and say how times are written."""
    return (
        f'During which seconds of the video does this happen: "{item.question}"\n'
        'Answer with "from S to S seconds".'
    )


def mark(record: Record, options: BenchmarkOptions) -> dict[str, Any]:
    """Mark a reply by the overlap of its first interval with the true one."""
    said = read_seconds(str(record.get("answer") or ""))
    start, end = record["evidence"][0]
    iou = 0.0 if said is None else interval_iou(said, (start, end))
    return mark_overlap(iou, is_read=said is not None)


def figures(records: Sequence[Record], options: BenchmarkOptions) -> list[Figure]:
    """Make the mean overlap, and how often it reaches 0.3, 0.5 and 0.7."""
    return grounding_figures(counted(records, options))


BENCHMARK = Benchmark(
    name="charades-sta",
    title="Charades-STA",
    source=(
        "https://github.com/jiyanggao/TALL (charades_sta_test.txt), on the hub "
        "lmms-lab/charades_sta; the videos are those of Charades"
    ),
    layout=(
        "charades_sta_test.txt, or a JSON list of video, caption, timestamp",
        "NAME.mp4 (any folder)",
    ),
    splits=(Split(name="test", questions=3_720),),
    load=load,
    put=put,
    mark=mark,
    figures=figures,
    max_new_tokens=64,
    rules=("unparsed",),
)
"""The benchmark: grounding alone, with the figures of FineAction-CGR."""
