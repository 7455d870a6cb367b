"""MovieChat-1K: questions about whole films and about one moment of them, judged.

The rules are those of lmms-eval 0.7.3, tasks ``moviechat_global`` and
``moviechat_breakpoint``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import (
    has_fields,
    need_files,
    number_copies,
    read_json,
    read_rows,
    unknown_shape,
)
from dynfocus.evaluation.benchmarks.benchmark import Figure, Item, Loaded, Split
from dynfocus.evaluation.benchmarks.choice import counted, mean_score, parts, share
from dynfocus.evaluation.benchmarks.msvd_qa import BENCHMARK as _MSVD
from dynfocus.evaluation.benchmarks.open_answers import MOST, open_figures
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.metrics import Record

_MODES = ("global", "breakpoint")


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read the table of lmms-eval, or a JSON file a film as the authors have it."""
    patterns = (
        "*ovie*hat*.parquet",
        "test*.parquet",
        "*moviechat*.json*",
        "jsons/*.json",
        "*.json",
    )
    files = need_files(data, patterns, "moviechat-1k")
    if all(path.suffix == ".json" for path in files) and _is_film(read_json(files[0])):
        rows = [row for path in files for row in _rows_of_film(path)]
        return Loaded(items=_items(rows), shape="a file a film", files=files)
    rows = [row for path in files for row in read_rows(path)]
    if not has_fields(rows[0], "video_name", "question", "answer"):
        wanted = "the known shapes: video_name, question, answer, time; info, global, breakpoint"
        raise unknown_shape(files[0], rows[0], wanted)
    return Loaded(items=_items(rows), shape="lmms-eval's table", files=files)


def _is_film(content: Any) -> bool:
    return isinstance(content, dict) and any(mode in content for mode in _MODES)


def _rows_of_film(path: Path) -> list[dict[str, Any]]:
    film = read_json(path)
    name = (film.get("info") or {}).get("video_path", f"{path.stem}.mp4")
    return [
        {"video_name": name, "mode": mode, **asked}
        for mode in _MODES
        for asked in film.get(mode, ())
    ]


def _items(rows: Sequence[dict[str, Any]]) -> list[Item]:
    modes = [row.get("mode") or _MODES[row.get("time") is not None] for row in rows]
    ids = number_copies(
        f"{m}-{row['video_name']}" for m, row in zip(modes, rows, strict=True)
    )
    return [
        Item(
            id=name,
            video=str(row["video_name"]),
            question=str(row["question"]),
            answer=str(row["answer"]),
            kind=mode,
            groups={"mode": mode, "time": row.get("time")},
        )
        for name, mode, row in zip(ids, modes, rows, strict=True)
    ]


def put(item: Item, options: BenchmarkOptions) -> str:
    """Ask the question as it is; of a moment, whose number counts frames, say so."""
    time = item.groups.get("time")
    return item.question if time is None else f"At frame {time}: {item.question}"


def figures(records: Sequence[Record], options: BenchmarkOptions) -> list[Figure]:
    """Make accuracy and score over all, then of each mode."""
    kept = counted(records, options)
    found = open_figures(records, options)
    for mode, some in parts(kept, "mode").items():
        size = len(some)
        found += [
            Figure(label=f"Accuracy, {mode}", estimate=share(some), num_questions=size),
            Figure(
                label=f"Score, {mode}",
                estimate=mean_score(some, "score", MOST),
                num_questions=size,
                unit="of 5",
            ),
        ]
    return found


BENCHMARK = replace(
    _MSVD,
    name="moviechat-1k",
    title="MovieChat-1K",
    source="on the hub Enxin/lmms_MovieChat_test and Enxin/MovieChat-1K-test",
    layout=(
        "the hub's test table as Parquet, or jsons/NAME.json, a file a film",
        "videos/NAME.mp4 (any folder)",
    ),
    # 1,907 moments, and three questions about each of 170 films (their issue 86).
    splits=(
        Split(name="test", questions=2_417, videos=170),
        Split(name="test, breakpoint", questions=1_907),
        Split(name="test, global", questions=510, videos=170),
    ),
    load=load,
    put=put,
    figures=figures,
    rules=("judge_score",),
    published=(),
)
"""The benchmark: MSVD-QA's judge on films."""
