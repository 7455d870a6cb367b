"""A run in bulk: what is open is asked, what comes is written, what failed is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynfocus.bulk.answers_file import AnswersFile, Record
from dynfocus.bulk.asking import failure
from dynfocus.bulk.rows import BulkRow, VideoJob, group_by_video

Answerer = Callable[[Sequence[VideoJob]], Iterable[Record]]
"""Answers jobs in any order; a row may be told twice or not at all."""
Progress = Callable[[int, int], None]

_UNTOLD = (
    "its worker ended before it had an answer, again and again; it may need more "
    "memory than there is"
)


@dataclass(frozen=True, kw_only=True)
class BulkSummary:
    """What came of a run."""

    num_rows: int
    """Rows in all."""
    num_earlier: int
    """Rows that earlier runs had told."""
    num_failed: int
    """Rows whose record is an error, of this run or an earlier one."""


def run_bulk(
    rows: Sequence[BulkRow],
    out: str | Path,
    answerer: Answerer,
    *,
    retries: bool = False,
    progress: Progress | None = None,
) -> BulkSummary:
    """Answer all rows that a file has no record of, and add the records to it.

    Every record is written when it comes, so that a run that stops at any moment can be
    started again and goes on.

    Args:
        rows: The rows, each with an id of its own.
        out: The file of answers.
        answerer: Who answers, such as `answer_in_processes`.
        retries: Whether rows that failed in an earlier run are asked again.
        progress: Called with the rows told and the rows in all.

    Returns:
        How many rows were told before, and how many failed.
    """
    with AnswersFile(out, rows, retries=retries) as answers:
        num_earlier = num_told = len(rows) - len(answers.open_rows)
        jobs = group_by_video(answers.open_rows)
        for record in answerer(jobs) if jobs else ():
            num_told += answers.append(record)
            if progress is not None:
                progress(num_told, len(rows))
        for row in answers.open_rows:
            answers.append(failure(row, _UNTOLD))
        return BulkSummary(
            num_rows=len(rows), num_earlier=num_earlier, num_failed=answers.num_failed
        )
