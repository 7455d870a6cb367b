"""NExT-QA, multiple choice: why, when and what in home videos, five options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import (
    find_files,
    letter,
    read_json,
    read_table,
)
from dynfocus.evaluation.benchmarks.benchmark import (
    Benchmark,
    Figure,
    Item,
    Loaded,
    Split,
)
from dynfocus.evaluation.benchmarks.choice import (
    Reading,
    Records,
    choice_figures,
    lettered,
)
from dynfocus.evaluation.benchmarks.letters import read_as_next_qa
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions

_NUM_OPTIONS = 5
_NAMES = {"C": "causal", "T": "temporal", "D": "descriptive"}


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read a split's CSV, or the table of the hub; TP counts as TN."""
    split = options.split or "test"
    patterns = (
        f"{split}.csv",
        f"nextqa/{split}.csv",
        f"*MC*/{split}*.parquet",
        f"{split}*.parquet",
    )
    fields = ("video", "question", "answer", "qid", "type", "a0")
    files, rows = read_table(data, patterns, "next-qa", fields)
    found = find_files(data, ("map_vid_vidorID.json",))
    places = read_json(found[0]) if found else {}
    items = [_item(row, places) for row in rows]
    return Loaded(items=items, shape="a row a question", files=[*files, *found])


def _item(row: dict[str, Any], places: dict[str, str]) -> Item:
    kind = "TN" if row["type"] == "TP" else str(row["type"])
    video = str(row["video"])
    return Item(
        id=f"{video}_{row['qid']}",
        video=str(places.get(video, video)),
        question=str(row["question"]).strip(),
        choices=tuple(str(row[f"a{n}"]).strip() for n in range(_NUM_OPTIONS)),
        answer=_letter(row["answer"]),
        kind=kind,
        groups={"type": kind, "group": _NAMES.get(kind[:1], kind)},
    )


def _letter(answer: Any) -> str:
    text = str(answer).strip()
    return letter(int(text)) if text.isdigit() else text.upper()


def put(item: Item, options: BenchmarkOptions) -> str:
    """Ask the question with its options, and no more."""
    return f"{item.question}\n{lettered(item.choices)}"


def figures(records: Records, options: BenchmarkOptions) -> list[Figure]:
    """Make the pooled accuracy, of each of the three groups and of each type."""
    return choice_figures(records, options, groups=("group", "type"))


BENCHMARK = Benchmark(
    name="next-qa",
    title="NExT-QA, multiple choice",
    source=(
        "https://github.com/doc-doc/NExT-QA (dataset/nextqa/*.csv, map_vid_vidorID.json); "
        "the videos are those of VidOR"
    ),
    layout=(
        "test.csv or val.csv, or the hub's table as Parquet",
        "map_vid_vidorID.json, where videos lie in VidOR's folders",
        "videos/NAME.mp4 (any folder)",
    ),
    splits=(
        Split(name="test", questions=8_564, videos=1_000),
        Split(name="val", questions=4_996, videos=570),
        Split(name="train"),
    ),
    load=load,
    put=put,
    mark=Reading(
        official=read_as_next_qa, lmms_eval=read_as_next_qa, guesses=True
    ).mark,
    figures=figures,
    video_names=lambda name: (name, name.rsplit("/", 1)[-1]),
    rules=("split", "parsing", "unparsed"),
)
"""The benchmark."""
