"""LVBench: four options about videos of an hour, a question with several capabilities."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import (
    has_fields,
    letter_of,
    need_files,
    number_copies,
    read_rows,
    unknown_shape,
    without_letter,
)
from dynfocus.evaluation.benchmarks.benchmark import (
    Benchmark,
    Figure,
    Item,
    Loaded,
    Split,
    published_rows,
)
from dynfocus.evaluation.benchmarks.choice import (
    BRACKETED,
    LETTER_REQUEST,
    Reading,
    Records,
    choice_figures,
)
from dynfocus.evaluation.benchmarks.letters import read_as_lvbench
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.text import plural

_TAGS = {
    "entity recognition": "ER",
    "event understanding": "EU",
    "key information retrieval": "KIR",
    "temporal grounding": "TG",
    "reasoning": "Rea",
    "summarization": "Sum",
}
_SIZES = {"original": 1_549, "clean": 1_519, "flash-vstream": 1_508}
_VIDEO_FIELDS = {"key", "video_path", "video"}
_OPTION = re.compile(r"\n\s*\(?([A-D])[).:]\s*")
_TIME = re.compile(r"(\d+):(\d\d)-(\d+):(\d\d)")


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read the lines of videos, lines of questions, the clean list, or lmms-eval's table.

    Raises:
        ValueError: The file is of another edition than ``size`` says.
    """
    patterns = (
        "video_info.meta.jsonl",
        "*lvbench*.json*",
        "*LVBench*.json*",
        "*.parquet",
    )
    files = need_files(data, patterns, "lvbench")
    rows = [row for path in files for row in read_rows(path)]
    first = rows[0]
    if "qa" in first:
        shape = "a line a video"
        rows = list(_flatten(rows))
    elif has_fields(first, "question", "answer") and first.keys() & _VIDEO_FIELDS:
        shape = "the clean list" if "candidates" in first else "a row a question"
    else:
        wanted = (
            "the known shapes: key, qa; question, answer, candidates, video; question, "
            "answer, uid, key"
        )
        raise unknown_shape(files[0], first, wanted)
    wanted_size = _SIZES.get(options.size)
    if wanted_size is not None and len(rows) != wanted_size:
        raise ValueError(
            f"{files[0]} holds {len(rows):,} questions, and the {options.size} edition has "
            f"{wanted_size:,}; fetch that, or say --rule size=any"
        )
    items = [_item(row, number) for number, row in enumerate(rows)]
    names = number_copies(item.id for item in items)
    items = [Item(**{**vars(i), "id": n}) for i, n in zip(items, names, strict=True)]
    bare = [item.id for item in items if not item.choices]
    notes = []
    if bare:
        notes.append(f"{plural(len(bare), 'question')} without options ({bare[0]})")
    return Loaded(items=items, shape=shape, files=files, notes=notes)


def _flatten(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        for asked in row["qa"]:
            yield {**asked, "key": row["key"], "type": row.get("type")}


def _item(row: dict[str, Any], number: int) -> Item:
    question, *rest = _OPTION.split(str(row["question"]))
    choices = tuple(text.strip() for text in rest[1::2])
    given = row.get("candidates") or row.get("options") or ()
    if len(given):
        choices = tuple(without_letter(one) for one in given)
    answer = str(row["answer"]).strip()
    if len(answer) > 1:
        answer = letter_of(without_letter(answer), choices) or without_letter(answer)
    tags = row.get("question_type") or ()
    tags = [tags] if isinstance(tags, str) else list(tags)
    video = str(row.get("key") or row.get("video_path") or row.get("video"))
    found = _TIME.fullmatch(str(row.get("time_reference", "")))
    evidence: tuple[tuple[float, float], ...] = ()
    if found:
        a, b, c, d = map(int, found.groups())
        evidence = ((60.0 * a + b, 60.0 * c + d),)
    return Item(
        id=str(row.get("uid", number)),
        video=video,
        question=question.strip(),
        choices=choices,
        answer=answer,
        groups={"tags": [_TAGS.get(t, t) for t in tags], "type": row.get("type")},
        evidence=evidence,
    )


def put(item: Item, options: BenchmarkOptions) -> str:
    """Ask the question with its options; only lmms-eval fixes what follows."""
    return f"{item.question}\n{BRACKETED(item.choices)}\n{LETTER_REQUEST}"


def figures(records: Records, options: BenchmarkOptions) -> list[Figure]:
    """Make the accuracy over all and of each capability; a question counts in all of its."""
    return choice_figures(records, options, groups=("tags", "type"))


BENCHMARK = Benchmark(
    name="lvbench",
    title="LVBench",
    source=(
        "https://github.com/THUDM/LVBench and the hub's THUDM/LVBench (video_info.meta.jsonl); "
        "the videos are to be fetched from YouTube by their keys"
    ),
    layout=("video_info.meta.jsonl", "videos/KEY.mp4 (any folder)"),
    splits=(
        Split(name="test", questions=1_549, videos=103),
        Split(name="test, clean", questions=1_519, videos=101),
        Split(name="test, flash-vstream", questions=1_508, videos=100),
    ),
    load=load,
    put=put,
    mark=Reading(official=read_as_lvbench).mark,
    figures=figures,
    rules=("size", "parsing", "unparsed", "unanswered"),
    published=published_rows(
        "Overall",
        (
            (
                "Qwen3-VL-8B",
                58.0,
                "",
                "LLaVA-OneVision-2 and InternVideo3, tables",
                False,
            ),
            ("InternVideo3-8B", 55.7, "", "OpenGVLab/InternVideo", True),
            (
                "LLaVA-OneVision-2-8B",
                55.5,
                "",
                "EvolvingLMMs-Lab/LLaVA-OneVision-2",
                True,
            ),
            (
                "LLaVA-Video-7B + FlexSelect",
                52.9,
                "at most 1,024 frames",
                "yunzhuzhang0918/flexselect",
                True,
            ),
            ("Tempo-6B", 52.3, "8K tokens", "arXiv 2604.08120", True),
            (
                "Qwen2.5-VL-7B + AdaReTaKe",
                51.2,
                "at most 2,048 frames",
                "AdaReTaKe",
                True,
            ),
            ("MiniCPM-o 4.5", 50.9, "", "OpenBMB/MiniCPM-V", True),
            (
                "VideoChat-Flash-7B",
                48.2,
                "clean, 16 tokens a frame",
                "VideoChat-Flash",
                True,
            ),
            ("Qwen2.5-VL-7B", 45.3, "", "README of Qwen2.5-VL", True),
            ("DynFocus-7B", 32.9, "", "second-hand", False),
        ),
    ),
)
"""The benchmark."""
