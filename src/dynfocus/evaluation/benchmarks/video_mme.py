"""Video-MME: questions with four options about short, medium and long videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import read_table, without_letter
from dynfocus.evaluation.benchmarks.benchmark import (
    Benchmark,
    Figure,
    Item,
    Loaded,
    Split,
    published_rows,
)
from dynfocus.evaluation.benchmarks.choice import (
    Reading,
    Records,
    choice_figures,
    lettered,
    name_letters,
)
from dynfocus.evaluation.benchmarks.letters import read_as_video_mme
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions

_PATTERNS = (
    "videomme/test-*.parquet",
    "test-*.parquet",
    "*ideo*mme*.parquet",
    "*ideo*mme*.json*",
    "output_test_template.json",
    "benchmark.json",
    "*.parquet",
)
_GROUPS = ("duration", "domain", "task_type", "sub_category")


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read the table of the hub, a row a question, or the scorer's template, a row a video."""
    fields = ("question_id", "question", "options", "answer")
    files, rows = read_table(data, _PATTERNS, "video-mme", fields)
    is_template = "questions" in rows[0]
    shape = (
        "the scorer's template, a row a video"
        if is_template
        else "the hub's table, a row a question"
    )
    return Loaded(items=[_item(row) for row in rows], shape=shape, files=files)


def _item(row: dict[str, Any]) -> Item:
    video = str(row.get("videoID") or row["video_id"])
    return Item(
        id=str(row["question_id"]),
        video=video,
        question=str(row["question"]),
        choices=tuple(without_letter(option) for option in row["options"]),
        answer=str(row["answer"]),
        kind=str(row.get("duration", "all")),
        groups={name: row[name] for name in _GROUPS if row.get(name) is not None},
        subtitles=video,
    )


def put(item: Item, options: BenchmarkOptions) -> str:
    """Ask for the best answer and its letter; subtitles come before this."""
    and_subtitles = (
        " and the subtitles"
        if options.subtitles != "none" or options.prompt == "lmms-eval"
        else ""
    )
    return (
        "Choose the best answer to the following multiple-choice question about the video"
        f"{and_subtitles}. Reply with only the letter ({name_letters(item.choices)}) of "
        f"the right option.\n{item.question}\n{lettered(item.choices)}\n"
        "The best answer is:"
    )


def figures(records: Records, options: BenchmarkOptions) -> list[Figure]:
    """Make the accuracy over all, and of each duration, domain, task and category."""
    return choice_figures(records, options, groups=_GROUPS)


BENCHMARK = Benchmark(
    name="video-mme",
    title="Video-MME",
    source=(
        "https://video-mme.github.io, on the hub lmms-lab/Video-MME (annotations, videos "
        "and subtitles; research use only, no copies)"
    ),
    layout=(
        "videomme/test-00000-of-00001.parquet, or the questions as JSON",
        "data/VIDEOID.mp4 (the YouTube id; also .MP4, .mkv)",
        "subtitle/VIDEOID.srt, for --rule subtitles=frames",
    ),
    splits=(Split(name="test", questions=2_700, videos=900),),
    load=load,
    put=put,
    mark=Reading(official=read_as_video_mme, drops_unparsed=True).mark,
    figures=figures,
    video_folders=("data", "videos"),
    rules=("subtitles", "prompt", "parsing", "unparsed"),
    published=published_rows(
        "Overall",
        (
            ("Qwen3.5-4B", 76.9, "without subtitles", "second-hand", False),
            ("InternVideo3-8B", 73.8, "", "OpenGVLab/InternVideo", True),
            ("Eagle 2.5-8B", 72.4, "512 frames", "arXiv 2504.15271", True),
            (
                "LLaVA-OneVision-2-8B",
                71.9,
                "without subtitles",
                "EvolvingLMMs-Lab/LLaVA-OneVision-2",
                True,
            ),
            (
                "Qwen3-VL-8B",
                71.4,
                "without subtitles",
                "LLaVA-OneVision-2, table",
                False,
            ),
            (
                "LLaVA-Video-7B + FlexSelect",
                68.9,
                "at most 1,024 frames",
                "yunzhuzhang0918/flexselect",
                True,
            ),
            (
                "Qwen2.5-VL-7B + AdaReTaKe",
                67.7,
                "at most 2,048 frames",
                "AdaReTaKe",
                True,
            ),
            ("VideoChat-Flash-7B", 65.3, "16 tokens a frame", "VideoChat-Flash", True),
            ("Qwen2.5-VL-7B", 65.1, "without subtitles", "README of Qwen2.5-VL", True),
            ("DynFocus-7B", 44.1, "", "second-hand", False),
        ),
    ),
)
"""The benchmark."""
