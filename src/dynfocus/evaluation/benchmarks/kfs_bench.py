"""KFS-Bench: whether the frames that were chosen show every scene that answers.

Its annotations name the scenes of questions of LongVideoBench and of Video-MME, whose own
annotations must lie beside them. A scene may have several stretches.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks import longvideobench, video_mme, world_folder
from dynfocus.evaluation.benchmarks.annotations import (
    Row,
    find_files,
    letter_of,
    read_rows,
    read_table,
)
from dynfocus.evaluation.benchmarks.benchmark import (
    Benchmark,
    Item,
    Loaded,
    Split,
)
from dynfocus.evaluation.benchmarks.choice import (
    ask_by_letter,
    choice_figures,
)
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.metrics import Record
from dynfocus.text import plural, read_moment

_PARTS = {
    "longvideobench": longvideobench.BENCHMARK,
    "video-mme": video_mme.BENCHMARK,
}
"""Whose questions are asked, by the name of the split."""
_FILES = {"longvideobench": "lvb_anno.csv", "video-mme": "vidmme_anno.csv"}
_VIDEO_MME_ID = re.compile(r"\d{3}-\d")
_QUESTIONS = "kfs_bench_questions.json"
_FIELDS = ("id", "scene_id", "start", "end")


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read the scenes, and the questions of the same ids of whoever asked them."""
    patterns = ("kfs_bench.csv", _FILES[options.split or "longvideobench"])
    files, rows = read_table(data, (*patterns, "*anno*.csv"), "kfs-bench", _FIELDS)
    scenes: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        scenes[str(row["id"])].append(row)
    part, asked = _questions(data, list(scenes), options)
    known = {item.id: item for item in asked.items}
    items = [_item(known[n], part, some) for n, some in scenes.items() if n in known]
    if not items:
        raise ValueError(
            f"{files[0]}: none of its {plural(len(scenes), 'id')} has a question in "
            f"{asked.files[0]}; put the annotations that it is about into {data}"
        )
    lost = len(scenes) - len(items)
    notes = [f"{plural(lost, 'annotated id')} without a question left out"]
    return Loaded(
        items=items,
        shape=f"scenes of the questions of {part}",
        files=[*files, *asked.files],
        notes=[*asked.notes, *(notes if lost else ())],
    )


def _questions(
    data: Path, names: Sequence[str], options: BenchmarkOptions
) -> tuple[str, Loaded]:
    """Read the questions that scenes are about, and tell whose they are."""
    found = find_files(data, (_QUESTIONS,))
    if found:
        items = [_world_item(row) for row in read_rows(found[0])]
        return "focusworld", Loaded(items=items, shape="", files=found[:1])
    is_mme = all(_VIDEO_MME_ID.fullmatch(name) for name in names)
    part = "video-mme" if is_mme else "longvideobench"
    return part, _PARTS[part].load(data, options)


def _world_item(row: Row) -> Item:
    choices = tuple(map(str, row["options"]))
    answer = str(row["answer"])
    return Item(
        id=str(row["id"]),
        video=str(row["video"]),
        question=str(row["question"]),
        choices=choices,
        answer=letter_of(answer, choices) or answer,
        kind=str(row.get("kind", "all")),
    )


def _item(item: Item, part: str, rows: Sequence[Row]) -> Item:
    """Add the scenes; their ends are a second early, and the end itself counts."""
    stretches = [
        (
            read_moment(row["start"], "start"),
            math.nextafter(read_moment(row["end"], "end") + 1.0, math.inf),
        )
        for row in rows
    ]
    return replace(
        item,
        evidence=tuple(stretches),
        scenes=tuple(int(row["scene_id"]) for row in rows),
        groups={**item.groups, "part": part},
    )


def put(item: Item, options: BenchmarkOptions) -> str:
    """Ask as the benchmark does whose question it is."""
    part = _PARTS.get(item.groups["part"])
    if part is not None:
        return part.put(item, options)
    return ask_by_letter(item, options) if item.choices else item.question


def mark(record: Record, options: BenchmarkOptions) -> dict[str, Any]:
    """Mark as the benchmark does whose question it is."""
    part = _PARTS.get(record["groups"]["part"])
    if part is None and record["choices"]:
        part = _PARTS["longvideobench"]
    if part is not None:
        return part.mark(record, options)
    found = world_folder.mark(record, options)
    right = {"right_strict": found["right"], "right_official": found["right"]}
    return {**found, **right, "is_counted_officially": found["is_read"]}


BENCHMARK = Benchmark(
    name="kfs-bench",
    title="KFS-Bench",
    source=(
        "https://github.com/NEC-VID/KFS-Bench (lvb_anno.csv, vidmme_anno.csv); questions "
        "and videos are those of LongVideoBench and Video-MME"
    ),
    layout=(
        "lvb_anno.csv with lvb_val.json, or vidmme_anno.csv with the table of Video-MME",
        "videos/ID.mp4 (any folder)",
    ),
    splits=(
        Split(name="longvideobench", questions=1_291),
        Split(name="video-mme", questions=888),
    ),
    load=load,
    put=put,
    mark=mark,
    figures=partial(choice_figures, main="Accuracy"),
    key_frames=("UKSS", "KFR", "SHR"),
    video_folders=("videos", "data"),
    video_names=lambda name: (f"videos/{name}", name),
    rules=("split", "subtitles", "prompt", "parsing", "unparsed", "likeness"),
)
"""The benchmark."""
