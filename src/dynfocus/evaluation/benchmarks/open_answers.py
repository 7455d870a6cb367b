"""What MSVD-QA, MSRVTT-QA, ActivityNet-QA and their like share: short judged answers.

The judge says yes or no and gives a score from 0 to 5. Four shapes of annotations are in
use: a pair of question and answer files, one file with both, the file of Chat-UniVi, and
the CSV of IG-VLM.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import (
    has_fields,
    need_files,
    number_copies,
    read_rows,
    unknown_shape,
)
from dynfocus.evaluation.benchmarks.benchmark import (
    Figure,
    Item,
    JudgeTask,
    Loaded,
    Published,
)
from dynfocus.evaluation.benchmarks.choice import counted, mean_score, share
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.judges.verdicts import round_score
from dynfocus.evaluation.metrics import Record

MOST = 5.0
_WANTED = (
    "the known shapes: video_name, question, question_id; video_id, question, answer; "
    "video_name, question, answer"
)
_OF_OTHERS = {"options", "candidates", "time"}
"""What rows of other benchmarks have beside the same fields: options, or a moment."""
_BRIEF = "\nAnswer the question with a single word or a short phrase."


def load_open_answers(
    data: Path, options: BenchmarkOptions, *, name: str, stem: str
) -> Loaded:
    """Read annotations of any of the shapes.

    Args:
        data: The folder.
        options: Whose ``split`` names the file to look for.
        name: Of the benchmark.
        stem: How its files are called in collections, such as ``msvd``.
    """
    split = options.split or "test"
    patterns = (
        f"{split}_q.json",
        f"{split}_qa.json",
        *(f"{stem}*{split}*{end}" for end in (".json", ".jsonl", ".csv", ".parquet")),
        f"{stem}_qa.json",
        f"{stem}_qa.csv",
        f"{stem}*.csv",
        f"{stem}*.json",
        f"*{split}*.parquet",
    )
    path = need_files(data, patterns, name)[0]
    rows = read_rows(path)
    if path.name.endswith("_q.json"):
        return _load_pair(path, rows)
    first = rows[0]
    is_known = has_fields(first, "question", "answer") and (
        "video_name" in first or "video_id" in first
    )
    if not is_known or first.keys() & _OF_OTHERS:
        raise unknown_shape(path, first, _WANTED)
    shape = (
        "IG-VLM's table"
        if path.suffix == ".csv"
        else "one file with questions and answers"
        if "video_id" in first
        else "Chat-UniVi's file"
    )
    return Loaded(items=_items(rows), shape=shape, files=[path])


def _load_pair(path: Path, rows: list[dict[str, Any]]) -> Loaded:
    """Join a file of questions with that of their answers, row by row."""
    other = path.with_name(path.name.replace("_q.json", "_a.json"))
    if not other.is_file():
        raise ValueError(f"{path} has no {other.name} beside it; fetch that too")
    answers = read_rows(other)
    if len(answers) != len(rows):
        raise ValueError(
            f"{path} has {len(rows):,} rows and {other.name} {len(answers):,}; they are "
            "not of one edition"
        )
    for number, (asked, answer) in enumerate(zip(rows, answers, strict=True), 1):
        if asked.get("question_id") != answer.get("question_id"):
            raise ValueError(
                f"row {number} of {path} asks {asked.get('question_id')!r} and that of "
                f"{other.name} answers {answer.get('question_id')!r}; they are not of one "
                "edition"
            )
    joined = [{**q, **a} for q, a in zip(rows, answers, strict=True)]
    items = _items(joined)
    return Loaded(
        items=items, shape="a pair of questions and answers", files=[path, other]
    )


def _items(rows: Sequence[dict[str, Any]]) -> list[Item]:
    ids = number_copies(
        str(row.get("question_id") or row.get("id") or _name(row, number))
        for number, row in enumerate(rows)
    )
    return [
        Item(
            id=name,
            video=_video(row),
            question=str(row["question"]),
            answer=str(row["answer"]),
            kind=str(row.get("type", row.get("question_type", "all"))),
            groups={"type": str(row.get("type", row.get("question_type", "all")))},
        )
        for name, row in zip(ids, rows, strict=True)
    ]


def _name(row: dict[str, Any], number: int) -> str:
    return f"{_video(row)}-{number}"


def _video(row: dict[str, Any]) -> str:
    """Give the name of the video; numbers are those of MSRVTT."""
    name = str(row.get("video_name") or row["video_id"])
    return f"video{name}" if name.isdigit() else name


def put_bare(item: Item, options: BenchmarkOptions) -> str:
    """Ask the question as it is stored, or as lmms-eval words it."""
    if options.prompt == "official":
        return item.question
    question = item.question.capitalize()
    return f"{question if question.endswith('?') else f'{question}?'}{_BRIEF}"


def ask_for_agreement(record: Record) -> list[JudgeTask]:
    """Ask a judge whether a reply agrees with the truth."""
    if record.get("answer") is None or not record["truth"]:
        return []
    fields = {
        "question": str(record["stored_question"]),
        "answer": str(record["truth"]),
        "pred": str(record["answer"]),
    }
    return [JudgeTask(aspect="agreement", fields=fields)]


def mark_open_answer(record: Record, options: BenchmarkOptions) -> dict[str, Any]:
    """Take over what the judge said; an answer that it did not judge is wrong.

    Returns:
        ``right``, ``score``, ``is_read``, and ``right_exact``: the same string.
    """
    reply = record.get("answer")
    values = (record.get("verdicts") or [None])[0]
    same = reply is not None and _plain(reply) == _plain(record["truth"])
    if values is None:
        return {"right": False, "score": 0, "is_read": False, "right_exact": same}
    return {
        "right": values["pred"] == "yes",
        "score": round_score(values["score"], options.judge_score),
        "is_read": True,
        "right_exact": same,
    }


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


def open_figures(records: Sequence[Record], options: BenchmarkOptions) -> list[Figure]:
    """Make accuracy and mean score, and what the published count would give."""
    kept = counted(records, options)
    judged = [record for record in records if record["is_read"]]
    return [
        Figure(
            label="Accuracy",
            estimate=share(kept),
            num_questions=len(kept),
            is_main=True,
        ),
        Figure(
            label="Score",
            estimate=mean_score(kept, "score", MOST),
            num_questions=len(kept),
            unit="of 5",
            is_main=True,
        ),
        Figure(
            label="Accuracy, judged answers alone",
            estimate=share(judged),
            num_questions=len(judged),
            is_beside=True,
        ),
        Figure(
            label="Exact match",
            estimate=share(kept, "right_exact"),
            num_questions=len(kept),
            is_beside=True,
        ),
    ]


def judged_rows(
    rows: Iterable[tuple[str, float, float, str, bool]],
) -> tuple[Published, ...]:
    """Give published rows of benchmarks whose answers a judge marks and scores.

    Args:
        rows: System, accuracy, score, where they stand, whether they are its own authors'.
    """
    return tuple(
        Published(
            system=system,
            values={"Accuracy": accuracy, "Score": score},
            source=source,
            is_own=own,
        )
        for system, accuracy, score, source, own in rows
    )
