"""EgoSchema: five options about what somebody does in three minutes of their own view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import (
    find_files,
    has_fields,
    letter,
    need_files,
    read_json,
    read_rows,
    unknown_shape,
    without_letter,
)
from dynfocus.evaluation.benchmarks.benchmark import (
    Benchmark,
    Figure,
    Item,
    Loaded,
    Published,
    Split,
)
from dynfocus.evaluation.benchmarks.choice import (
    Reading,
    Records,
    ask_by_letter,
    choice_figures,
    option_places,
)
from dynfocus.evaluation.benchmarks.letters import read_as_egoschema
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions

_NUM_OPTIONS = 5


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read the authors' questions with the public answers, or lmms-eval's table.

    By default the 500 questions whose answers are public; ``split=full`` takes all.
    """
    patterns = (
        "questions.json",
        "*Subset*/*.parquet",
        "*egoschema*.json*",
        "*.parquet",
    )
    files = need_files(data, patterns, "egoschema")
    rows = [row for path in files for row in read_rows(path)]
    first = rows[0]
    if has_fields(first, "q_uid", "option 0"):
        return _load_authors(data, files, rows, options)
    if not has_fields(first, "video_idx", "option", "question"):
        wanted = (
            "the known shapes: q_uid, question, option 0; video_idx, question, option"
        )
        raise unknown_shape(files[0], first, wanted)
    items = [
        Item(
            id=str(row["video_idx"]),
            video=str(row["video_idx"]),
            question=str(row["question"]),
            choices=tuple(without_letter(one) for one in row["option"]),
            answer=_letter(row.get("answer")),
        )
        for row in rows
    ]
    if options.split != "full":
        items = [item for item in items if item.answer] or items
    return Loaded(items=items, shape="lmms-eval's table", files=files)


def _load_authors(
    data: Path, files: list[Path], rows: list[dict[str, Any]], options: BenchmarkOptions
) -> Loaded:
    if "question" not in rows[0]:
        raise ValueError(
            f"{files[0]} is the early edition, without questions and with options in "
            "another order; fetch questions.json again"
        )
    found = find_files(data, ("subset_answers.json",))
    answers = read_json(found[0]) if found else {}
    items = [
        Item(
            id=str(row["q_uid"]),
            video=str(row["q_uid"]),
            question=str(row["question"]),
            choices=tuple(str(row[f"option {n}"]) for n in range(_NUM_OPTIONS)),
            answer=_letter(answers.get(row["q_uid"])),
        )
        for row in rows
    ]
    unknown = set(answers) - {item.id for item in items}
    if unknown:
        raise ValueError(
            f"{found[0]} answers {min(unknown)!r}, which {files[0].name} does not ask; they "
            "are not of one edition"
        )
    if options.split != "full" and answers:
        items = [item for item in items if item.answer]
    shape = "the authors' questions" + (" and public answers" if answers else "")
    return Loaded(items=items, shape=shape, files=[*files, *found])


def _letter(place: Any) -> str:
    return "" if place is None or str(place) in ("", "-1") else letter(int(place))


def figures(records: Records, options: BenchmarkOptions) -> list[Figure]:
    """Make the accuracy over the questions whose answers are public."""
    known = [record for record in records if record["truth"]]
    return choice_figures(records, options) if known else []


BENCHMARK = Benchmark(
    name="egoschema",
    title="EgoSchema",
    source=(
        "https://github.com/egoschema/EgoSchema (questions.json, subset_answers.json, a "
        "download script for the clips; Ego4D's licence), on the hub lmms-lab/egoschema"
    ),
    layout=(
        "questions.json and subset_answers.json, or the hub's table as Parquet",
        "videos/UID.mp4 (any folder)",
    ),
    splits=(
        Split(name="subset", questions=500, videos=500),
        Split(name="full", questions=5_031, videos=5_031),
    ),
    load=load,
    put=ask_by_letter,
    mark=Reading(
        official=read_as_egoschema, lmms_eval=read_as_egoschema, guesses=True
    ).mark,
    figures=figures,
    submission=option_places,
    rules=("split", "parsing", "unparsed", "submission"),
    published=(
        Published(
            system="SlowFocus (Vicuna-7B)", values={"Overall": 39.7}, source="SlowFocus"
        ),
    ),
)
"""The benchmark."""
