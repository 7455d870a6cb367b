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
from dynfocus.evaluation.benchmarks.choice import counted, share
from dynfocus.evaluation.benchmarks.fineaction_cgr import (
    grounding_figures,
    mark_overlap,
    read_seconds,
)
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.metrics import Record, interval_iou
from dynfocus.text import read_text

_EXAMPLE = "a specific example is : 20.8 - 30.0 seconds"
_PAIR = re.compile(r"(\d+\.*\d*)\s*-\s*(\d+\.*\d*)")
_NUMBER = re.compile(r"\b(?:\d+\.\d+|\d+)\b")
_ENDS_OF_SENTENCES = re.compile(r"[!?\n]")
_SPEAK_OF_TIME = ("start", "end", "happen")
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


def read_as_published(text: str) -> tuple[float, float] | None:
    """Read an interval as the script that lmms-eval's task comes with, to its oddities.

    Each "to" is a dash, also within words. The first two numbers with a dash between them
    count; else the first number of each of two sentences that speak of a start, an end or
    what happens, of which a full stop ends none. What is the wrong way round is turned.
    Where the script itself fails, at ``1..2`` or ``h:mm:ss``, nothing is read.

    Args:
        text: The reply.
    """
    plain = text.lower().replace(_EXAMPLE, "").replace("to", "-")
    pairs = _PAIR.findall(plain)
    if any(".." in "".join(pair) for pair in pairs):
        return None
    if pairs:
        found = list(pairs[0])
    else:
        sentences = _ENDS_OF_SENTENCES.split(plain)
        told = [s for s in sentences if any(word in s for word in _SPEAK_OF_TIME)]
        found = [m[0] for m in map(_NUMBER.search, told) if m][:2]
    if len(found) < 2:
        return None
    one, other = map(float, found)
    return min(one, other), max(one, other)


def mark(record: Record, options: BenchmarkOptions) -> dict[str, Any]:
    """Mark a reply by the overlap of its first interval with the true one."""
    reply = str(record.get("answer") or "")
    read = {"strict": read_seconds(reply), "official": read_as_published(reply)}
    overlaps = {
        how: 0.0 if said is None else interval_iou(said, record["evidence"][0])
        for how, said in read.items()
    }
    how = "strict" if options.parsing == "strict" else "official"
    return mark_overlap(overlaps[how], is_read=read[how] is not None) | {
        f"right_{one}": overlap for one, overlap in overlaps.items()
    }


def figures(records: Sequence[Record], options: BenchmarkOptions) -> list[Figure]:
    """Make the mean overlap, and how often it reaches 0.3, 0.5 and 0.7."""
    beside = [
        Figure(
            label=f"mIoU, {how} parsing",
            estimate=share(records, f"right_{how}"),
            num_questions=len(records),
            is_beside=True,
        )
        for how in ("strict", "official")
    ]
    return grounding_figures(counted(records, options)) + beside


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
    rules=("parsing", "unparsed"),
)
"""The benchmark: grounding alone, with the figures of FineAction-CGR."""
