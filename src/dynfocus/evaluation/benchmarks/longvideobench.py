"""LongVideoBench: questions that refer to moments, with subtitles between the frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import (
    has_fields,
    letter,
    need_files,
    read_rows,
    unknown_shape,
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
    LETTER_REQUEST,
    Reading,
    Records,
    choice_figures,
    lettered,
    option_places,
)
from dynfocus.evaluation.benchmarks.letters import read_as_longvideobench
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions

_GROUPS = ("duration_group", "question_category", "level")
_MOST_OPTIONS = 5


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read the authors' JSON, or the table with ``option0`` to ``option4``."""
    split = {"val": "val", "test": "test"}.get(options.split or "val", "val")
    stem = "lvb_val" if split == "val" else "lvb_test_wo_gt"
    alike = "validation" if split == "val" else "test"
    patterns = (
        f"{stem}.json",
        f"{alike}-*.parquet",
        f"lvb_{split}*",
        f"*{split}*.parquet",
    )
    files = need_files(data, patterns, "longvideobench")
    rows = [row for path in files for row in read_rows(path)]
    first = rows[0]
    is_table = "option0" in first
    if not has_fields(first, "id", "video_id", "question") or not (
        is_table or "candidates" in first
    ):
        wanted = "the known shapes: id, video_id, question, candidates or option0"
        raise unknown_shape(files[0], first, wanted)
    shape = "the table with option0 to option4" if is_table else "the authors' JSON"
    return Loaded(items=[_item(row) for row in rows], shape=shape, files=files)


def _item(row: dict[str, Any]) -> Item:
    given = row.get("candidates")
    if given is None:
        found = [row.get(f"option{n}") for n in range(_MOST_OPTIONS)]
        given = [one for one in found if one not in (None, "N/A")]
    place = row.get("correct_choice", -1)
    is_known = place is not None and int(place) >= 0
    return Item(
        id=str(row["id"]),
        video=str(row.get("video_path") or row["video_id"]),
        question=str(row["question"]),
        choices=tuple(map(str, given)),
        answer=letter(int(place)) if is_known else "",
        kind=str(row.get("question_category", "all")),
        groups={
            **{name: row[name] for name in _GROUPS if row.get(name) is not None},
            "starts": float(row.get("starting_timestamp_for_subtitles") or 0.0),
            "position": list(row.get("position") or ()),
        },
        subtitles=str(row.get("subtitle_path") or f"{row['video_id']}_en.json"),
    )


def put(item: Item, options: BenchmarkOptions) -> str:
    """Ask the question with its options, then for the letter."""
    head = "" if options.prompt == "lmms-eval" else "Question: "
    return f"{head}{item.question}\n{lettered(item.choices)}\n{LETTER_REQUEST}"


def figures(records: Records, options: BenchmarkOptions) -> list[Figure]:
    """Make the accuracy over all, of each length, category and level."""
    return choice_figures(records, options, groups=_GROUPS)


BENCHMARK = Benchmark(
    name="longvideobench",
    title="LongVideoBench",
    source=(
        "https://longvideobench.github.io, on the hub longvideobench/LongVideoBench (after "
        "its terms are accepted; subtitles.tar and the parts of videos.tar)"
    ),
    layout=(
        "lvb_val.json, or the hub's validation table as Parquet",
        "videos/ID.mp4",
        "subtitles/ID_en.json, for --rule subtitles=frames",
    ),
    splits=(
        Split(name="val", questions=1_337, videos=753),
        Split(name="test", questions=5_341),
    ),
    load=load,
    put=put,
    mark=Reading(
        official=read_as_longvideobench, lmms_eval=read_as_longvideobench, guesses=True
    ).mark,
    figures=figures,
    submission=option_places,
    video_folders=("videos",),
    video_names=lambda name: (f"videos/{name}", name),
    rules=("split", "subtitles", "prompt", "parsing", "unparsed"),
    published=published_rows(
        "Overall",
        (
            (
                "Qwen3-VL-8B",
                68.0,
                "62.4 in another table",
                "LLaVA-OneVision-2, table",
                False,
            ),
            (
                "LLaVA-OneVision-2-8B",
                66.9,
                "",
                "EvolvingLMMs-Lab/LLaVA-OneVision-2",
                True,
            ),
            ("InternVideo3-8B", 66.8, "", "OpenGVLab/InternVideo", True),
            ("MiniCPM-o 4.5", 66.0, "", "OpenBMB/MiniCPM-V", True),
            ("VideoChat-Flash-7B", 64.7, "16 tokens a frame", "VideoChat-Flash", True),
            ("Qwen2.5-VL-7B + TSPO", 64.2, "64 frames", "Hui-design/TSPO", True),
            ("LLaVA-Video-7B + TSPO", 63.9, "64 frames", "Hui-design/TSPO", True),
            ("InternVideo2.5-8B", 60.6, "16 tokens a frame", "InternVideo2.5", True),
            ("Video-XL-2", 60.2, "400 frames", "own log", True),
        ),
    ),
)
"""The benchmark."""
