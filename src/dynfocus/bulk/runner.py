"""The runner: open rows are answered, records are written as they come, runs go on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from dynfocus.bulk.asking import MakeAnswerer, OnStep, failure
from dynfocus.bulk.ray_workers import answer_on_ray
from dynfocus.bulk.rows import Row, VideoJob, group_by_video
from dynfocus.bulk.worker_processes import answer_in_processes
from dynfocus.json_lines import JsonLines, Record

Progress = Callable[[int, int], None]
OnRecord = Callable[[Record], None]

_UNTOLD = (
    "its worker ended before it had an answer, again and again; it may need more "
    "memory than there is"
)


def run_rows(
    answerer: MakeAnswerer,
    rows: Sequence[Row],
    out: str | Path | None = None,
    *,
    workers: int = 1,
    ray: str | None = None,
    stamp: Mapping[str, Any] | None = None,
    retries: bool = False,
    progress: Progress | None = None,
    on_record: OnRecord | None = None,
    on_step: OnStep | None = None,
) -> list[Record]:
    """Answer all rows that a file has no record of, and add the records to it.

    Every record is written when it comes, so that a run that stops at any moment can be
    started again and goes on. A video that fails does not stop the others.

    Args:
        answerer: Who answers, such as an `Asker`; it must be picklable if there are
            several workers.
        rows: The rows, each with an id of its own.
        out: The file of records; None for none.
        workers: Processes, or actors of Ray; one works in this process.
        ray: Address of a Ray cluster: ``"auto"`` for that of this machine, ``"local"``
            to start one.
        stamp: What all records depend on; a file of records with another is refused.
        retries: Whether rows that failed in an earlier run are answered again.
        progress: Called with the rows told and the rows in all.
        on_record: Called with each record of this run.
        on_step: Called while a video is encoded; not from Ray.

    Returns:
        The records of all rows, in their order; one without an answer has ``error``.

    Raises:
        ValueError: The file holds something else, or the model cannot be loaded.
        BrokenWorkerError: Workers end before they have loaded the model.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    with ExitStack() as opened:
        file = None if out is None else opened.enter_context(JsonLines(out, stamp))
        told = {} if file is None else _earlier(file, rows, retries=retries)
        jobs = group_by_video([row for row in rows if row.id not in told])
        answers = _answer(answerer, jobs, workers, ray, on_step)
        opened.enter_context(closing(answers))
        for record in _of_each(rows, answers, told):
            if file is not None:
                file.append(record)
            if on_record is not None:
                on_record(record)
            if progress is not None:
                progress(len(told), len(rows))
    return [told[row.id] for row in rows]


def _of_each(
    rows: Sequence[Row], answers: Iterable[Record], told: dict[str, Record]
) -> Iterator[Record]:
    """Yield one new record a row, of whatever was told twice or not at all."""
    for record in answers:
        if record["id"] not in told:
            told[record["id"]] = record
            yield record
    for row in rows:
        if row.id not in told:
            told[row.id] = failure(row, _UNTOLD)
            yield told[row.id]


def _answer(
    answerer: MakeAnswerer,
    jobs: Sequence[VideoJob],
    workers: int,
    ray: str | None,
    on_step: OnStep | None,
) -> Generator[Record]:
    if ray is not None and jobs:
        yield from answer_on_ray(jobs, answerer, workers, address=ray)
    elif min(workers, len(jobs)) > 1:
        yield from answer_in_processes(jobs, answerer, workers, on_step)
    elif jobs:
        answer_job = answerer(0)
        for job in jobs:
            yield from answer_job(job, on_step)


def _earlier(
    file: JsonLines, rows: Sequence[Row], *, retries: bool
) -> dict[str, Record]:
    """Find what a file tells of the rows; other records stay in it."""
    wanted = {row.id: row for row in rows}
    for number, record in enumerate(file.records, 1):
        row = wanted.get(record.get("id", ""))
        facts = [record.get(name) for name in ("video", "question")]
        if "id" not in record or (row and facts != [row.shown_video, row.question]):
            raise ValueError(
                f"{file.path}: record {number} answers another question under the id "
                f"{record.get('id')!r}; name another file"
            )
    if retries and any("error" in r for r in file.records):
        file.keep(
            [r for r in file.records if "error" not in r or r["id"] not in wanted]
        )
    return {r["id"]: r for r in file.records if r["id"] in wanted}
