"""Video-MME-v2: groups of four questions with eight options and a non-linear group score.

The rules are those of lmms-eval 0.7.3.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import read_table, without_letter
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
    choice_figures,
    lettered,
    name_letters,
    parts,
    share,
)
from dynfocus.evaluation.benchmarks.letters import read_as_video_mme_v2
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.metrics import Record
from dynfocus.text import check_choice

_GROUPS = ("group_type", "level", "second_head", "third_head")
_CHAINS: dict[str, tuple[int, ...]] = {
    "[1, 2, 3, 4]": (0, 1, 4, 9, 16),
    "[1, [2, 3], 4]": (0, 1, 4, 7, 12),
    "[[1, 2], 3, 4]": (0, 1, 2, 5, 10),
}
"""Points by the length of the chain of right answers; the last is the whole."""
_SQUARES: tuple[int, ...] = (0, 1, 4, 9, 16)


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read the table of the hub; options are one text or a list."""
    patterns = (
        "*ideo*mme*v2*.parquet",
        "*ideo*mme*v2*.json*",
        "test*.parquet",
        "*.parquet",
        "*.json*",
    )
    fields = ("question_id", "group_type", "options", "answer")
    files, rows = read_table(data, patterns, "video-mme-v2", fields)
    items = [_item(row) for row in rows]
    return Loaded(items=items, shape="the hub's table", files=files)


def _item(row: dict[str, Any]) -> Item:
    _check(row)
    given = row["options"]
    lines = given.split("\n") if isinstance(given, str) else list(given)
    return Item(
        id=str(row["question_id"]),
        video=str(row["video_id"]),
        question=str(row["question"]),
        choices=tuple(without_letter(line) for line in lines if line.strip()),
        answer=str(row["answer"]),
        kind=str(row["group_type"]),
        groups={
            **{name: row[name] for name in _GROUPS if row.get(name) is not None},
            "structure": str(row.get("group_structure", "")),
        },
        subtitles=str(row["video_id"]),
    )


def _check(row: dict[str, Any]) -> None:
    """Refuse a row whose group could not be scored, before anything is asked.

    Raises:
        ValueError: Its group is of no kind that is known, or its id has no number.
    """
    kinds = ("relevance", "logic")
    check_choice(row["group_type"], "group_type", kinds)
    _place(row["question_id"])
    score_group(row["group_type"], str(row.get("group_structure", "")), [True] * 4)


def _place(name: object) -> int:
    """Read the place of a question in its group from its id, such as ``001-2``."""
    number = str(name).split("-")[-1]
    if not number.isdecimal():
        raise ValueError(f"question_id must end in a number, got {name!r}")
    return int(number)


def put(item: Item, options: BenchmarkOptions) -> str:
    """Ask the question with its options, then for the letter."""
    return (
        f"Question: {item.question}\n{lettered(item.choices)}\nChoose the best answer to "
        "this multiple-choice question about the video. Reply with only the letter "
        f"({name_letters(item.choices)}) of the right option."
    )


def score_group(kind: str, structure: str, right: Sequence[bool]) -> float:
    """Score the answers of a group, from 0 to 100.

    ``relevance``: the square of the share that is right. ``logic``: by the chain of right
    answers from the first one on; within a bracket of two, either begins it where the
    other is wrong.

    Args:
        kind: ``relevance`` or ``logic``.
        structure: How a logic group hangs together, such as ``[1, [2, 3], 4]``.
        right: Which answers are right, in order.
    """
    if kind == "relevance":
        points, count = _SQUARES, sum(map(bool, right))
    else:
        try:
            name = str(ast.literal_eval(structure))
            points = _CHAINS[name]
        except (ValueError, SyntaxError, KeyError) as error:
            raise ValueError(
                f"group_structure must be one of {'; '.join(_CHAINS)}, got {structure!r}"
            ) from error
        count = next((n for n, one in enumerate(right) if not one), len(right))
        swaps = {"[1, [2, 3], 4]": (1, 2), "[[1, 2], 3, 4]": (0, 1)}
        reached, other = swaps.get(name, (-1, 0))
        if count == reached and len(right) > other and right[other]:
            count += 1
    return 100.0 * points[min(count, 4)] / points[4]


def group_records(records: Records) -> list[dict[str, Any]]:
    """Make a record a group, ``right`` its score from 0 to 1, with the last one's groups."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[record["video"]].append(record)
    found = []
    for group in groups.values():
        ordered = sorted(group, key=lambda record: _place(record["id"]))
        first, last = ordered[0], ordered[-1]
        right = [bool(record["right"]) for record in ordered]
        score = score_group(first["kind"], first["groups"]["structure"], right)
        whole = {**last["groups"], "group_type": first["kind"]}
        found.append({**last, "right": score / 100, "groups": whole})
    return found


def figures(records: Records, options: BenchmarkOptions) -> list[Figure]:
    """Make the group score over all and of each part, then the accuracies of questions."""
    groups = group_records(records)
    found = [
        Figure(
            label="Group score",
            estimate=share(groups),
            num_questions=len(groups),
            is_main=True,
        )
    ]
    for name in _GROUPS:
        for part, some in parts(groups, name).items():
            label = f"Group score, {'level ' * (name == 'level')}{part}"
            figure = Figure(label=label, estimate=share(some), num_questions=len(some))
            found.append(figure)
    return found + choice_figures(
        records, options, groups=("group_type", "level"), main="Accuracy"
    )


BENCHMARK = Benchmark(
    name="video-mme-v2",
    title="Video-MME-v2",
    source="https://github.com/MME-Benchmarks/Video-MME-v2, on the hub MME-Benchmarks/Video-MME-v2",
    layout=(
        "the hub's test table as Parquet, JSON or JSON lines",
        "VIDEO_ID.mp4 (any folder)",
        "subtitle/VIDEO_ID.jsonl, a word a line, for --rule subtitles=all",
    ),
    splits=(Split(name="test", questions=3_200, videos=800),),
    load=load,
    put=put,
    mark=Reading(official=read_as_video_mme_v2, lmms_eval=read_as_video_mme_v2).mark,
    figures=figures,
    compared=lambda records, options: group_records(records),
    rules=("subtitles", "parsing", "unparsed"),
    published=(
        Published(
            system="Gemini-3-Pro",
            values={"Group score": 49.4},
            source="arXiv 2604.05015",
        ),
        Published(
            system="human", values={"Group score": 90.7}, source="arXiv 2604.05015"
        ),
    ),
)
"""The benchmark."""
