"""Runs in bulk: videos encoded once, failures by name, runs that go on."""

from __future__ import annotations

import json
from functools import partial

import pytest
from bulk_stand_ins import StandInLoader

from dynfocus.bulk import (
    BrokenWorkerError,
    BulkRow,
    answer_here,
    answer_in_processes,
    run_bulk,
)


def told(path):
    records = [json.loads(line) for line in path.read_text().splitlines()]
    names = [record["id"] for record in records]
    assert len(names) == len(set(names))  # nothing twice
    return {record["id"]: record for record in records}


def test_a_video_is_encoded_once_for_all_its_questions(
    tmp_path, make_rows, loader, logged
):
    rows = make_rows(2, "What?", "Who?", "Where?")
    rows += [BulkRow(video="v0.mp4", question="What?", id="fine", fps=4.0)]
    steps = []
    summary = run_bulk(
        rows,
        tmp_path / "a.jsonl",
        partial(answer_here, loader=loader),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert (summary.num_rows, summary.num_earlier, summary.num_failed) == (7, 0, 0)
    assert steps == [(n, 7) for n in range(1, 8)]
    counts = logged()
    assert (counts["load"], counts["index v0.mp4"], counts["index v1.mp4"]) == (1, 2, 1)
    records = told(tmp_path / "a.jsonl")
    assert records["1/2"] == {
        "id": "1/2",
        "video": "v1.mp4",
        "question": "Where?",
        "answer": "v1.mp4: Where?",
        "tokens": 12,
        "seconds": 0.5,
    }


def test_what_fails_is_told_by_name_and_the_others_go_on(tmp_path, loader):
    names = ("damaged.mp4", "missing.mp4", "cut.mp4", "fine.mp4")
    rows = [BulkRow(video=name, question="What?", id=name) for name in names]
    rows.append(BulkRow(video="fine.mp4", question="too long?", id="long"))
    rows.append(BulkRow(video="fine.mp4", id="index", max_frames=3))
    summary = run_bulk(rows, tmp_path / "a.jsonl", partial(answer_here, loader=loader))
    assert summary.num_failed == 3
    records = told(tmp_path / "a.jsonl")
    assert records["damaged.mp4"]["error"] == "damaged.mp4: this is no video."
    assert records["missing.mp4"]["error"] == "missing.mp4: No such file or directory"
    assert records["long"]["error"].startswith("the prompt has too many tokens")
    assert records["cut.mp4"]["warnings"] == ["cut.mp4: 3 frames are lost"]
    assert records["fine.mp4"]["answer"] == "fine.mp4: What?"
    assert records["index"]["frames"] == 3
    assert "answer" not in records["index"]


def test_a_run_that_stops_goes_on(tmp_path, make_rows, loader, logged):
    rows = make_rows(3, "What?", "Who?")
    path = tmp_path / "a.jsonl"

    def stop_after(jobs, count):
        for number, record in enumerate(answer_here(jobs, loader)):
            if number == count:
                raise KeyboardInterrupt
            yield record

    with pytest.raises(KeyboardInterrupt):
        run_bulk(rows, path, partial(stop_after, count=3))
    assert len(told(path)) == 3
    before = path.read_text()
    summary = run_bulk(rows, path, partial(answer_here, loader=loader))
    assert (summary.num_earlier, summary.num_failed) == (3, 0)
    assert len(told(path)) == 6
    assert path.read_text().startswith(before)
    assert logged()["ask v1.mp4 What?"] == 1
    summary = run_bulk(rows, path, partial(answer_here, loader=loader))
    assert summary.num_earlier == 6
    assert logged()["load"] == 2  # nothing left, nothing loaded


def test_a_killed_worker_loses_nothing_and_repeats_nothing(
    tmp_path, make_rows, loader, logged
):
    rows = make_rows(6, "What?", "die once?", "Who?")
    path = tmp_path / "a.jsonl"
    summary = run_bulk(
        rows, path, partial(answer_in_processes, loader=loader, num_workers=2)
    )
    assert summary.num_failed == 0
    assert set(told(path)) == {row.id for row in rows}
    counts = logged()
    assert counts["load"] <= 3  # two workers, and one in place of the killed
    asked = {key: n for key, n in counts.items() if key.startswith("ask")}
    (again,) = [key for key, n in asked.items() if n > 1]
    assert "die once?" in again  # the row at work alone was run again
    assert counts[again] == 2
    assert sum(n for key, n in counts.items() if key.startswith("index")) == 7


def test_a_video_that_kills_every_worker_is_given_up(
    tmp_path, make_rows, loader, caplog
):
    rows = make_rows(2, "What?")
    rows.insert(1, BulkRow(video="bad.mp4", question="die?", id="bad"))
    path = tmp_path / "a.jsonl"
    summary = run_bulk(
        rows, path, partial(answer_in_processes, loader=loader, num_workers=2)
    )
    assert summary.num_failed == 1
    records = told(path)
    assert "its worker ended before it had an answer" in records["bad"]["error"]
    assert {"0/0", "1/0", "bad"} == set(records)
    assert caplog.text.count("its rows are run again") == 2
    assert "bad.mp4: given up" in caplog.text


def test_a_model_that_cannot_be_loaded_ends_the_run(tmp_path, make_rows):
    rows = make_rows(3, "What?")
    for loader, kind, message in (
        (StandInLoader(str(tmp_path), fails=True), ValueError, "there is no model"),
        (
            StandInLoader(str(tmp_path), kills=True),
            BrokenWorkerError,
            "3 workers ended",
        ),
    ):
        with pytest.raises(kind, match=message):
            run_bulk(
                rows,
                tmp_path / "a.jsonl",
                partial(answer_in_processes, loader=loader, num_workers=2),
            )
        assert told(tmp_path / "a.jsonl") == {}
