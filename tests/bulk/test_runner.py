"""Runs in bulk: videos encoded once, failures by name, runs that go on."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from bulk_stand_ins import StandInLoader

from dynfocus.bulk import Asker, Row, read_rows, run_rows
from dynfocus.models.options import AskOptions


def told(path):
    records = [json.loads(line) for line in path.read_text().splitlines()]
    names = [record["id"] for record in records]
    assert len(names) == len(set(names))  # nothing twice
    return {record["id"]: record for record in records}


def test_a_video_is_encoded_once_for_all_its_questions(
    tmp_path, make_rows, asker, logged
):
    rows = make_rows(2, "What?", "Who?", "Where?")
    fine = AskOptions(fps=4.0)
    rows.append(Row(video="v0.mp4", question="What?", id="fine", options=fine))
    steps, seen, encoded = [], [], []
    records = run_rows(
        asker,
        rows,
        tmp_path / "a.jsonl",
        progress=lambda done, total: steps.append((done, total)),
        on_record=seen.append,
        on_step=lambda *step: encoded.append(step),
    )
    assert [record["id"] for record in records] == [row.id for row in rows]
    assert {record["id"] for record in seen} == {row.id for row in rows}
    assert steps == [(n, 7) for n in range(1, 8)]
    assert encoded == [(f"v{v}.mp4", 1, 2) for v in (0, 0, 1)]
    counts = logged()
    assert (counts["load"], counts["index v0.mp4"], counts["index v1.mp4"]) == (1, 2, 1)
    assert told(tmp_path / "a.jsonl")["1/2"] == {
        "id": "1/2",
        "video": "v1.mp4",
        "question": "Where?",
        "answer": "v1.mp4: Where?",
        "tokens": 12,
        "seconds": 0.5,
        "best_time": 1.0,
        "confidence": 0.9,
    }


def test_what_fails_is_told_by_name_and_the_others_go_on(tmp_path, asker):
    names = ("damaged.mp4", "missing.mp4", "cut.mp4", "fine.mp4", "\ud83d.mp4")
    rows = [Row(video=name, question="What?", id=name) for name in names]
    rows.append(Row(video="fine.mp4", question="too long?", id="long"))
    rows.append(Row(video="fine.mp4", question="Half \ud83d?", id="half"))
    rows += read_rows('{"video": "fine.mp4", "question": "", "id": "mute"}')
    rows += read_rows('{"video": null, "question": "What?", "id": "none"}')
    path = tmp_path / "a.jsonl"
    run_rows(asker, rows, path)
    records = told(path)
    assert records["damaged.mp4"]["error"] == "damaged.mp4: this is no video."
    assert records["missing.mp4"]["error"] == "missing.mp4: No such file or directory"
    assert records["long"]["error"].startswith("the prompt has too many tokens")
    assert records["cut.mp4"]["warnings"] == ["cut.mp4: 3 frames are lost"]
    assert records["fine.mp4"]["answer"] == "fine.mp4: What?"
    assert "half a character" in records["half"]["error"]
    empty = "must be a text that is not empty, got"
    assert records["mute"]["error"] == f"question {empty} ''"
    assert records["none"]["error"] == f"video {empty} None"
    assert "half a character" in records["\ud83d.mp4"]["error"]
    assert run_rows(asker, rows, path) == [records[row.id] for row in rows]


def test_rows_may_be_about_several_videos(tmp_path, asker, logged):
    text = [
        '{"video": ["a.mp4", "b.mp4"], "question": "Which?", "id": "two"}',
        '{"video": ["a.mp4", "missing.mp4"], "question": "Which?", "id": "gone"}',
        '{"video": ["a.mp4", "b.mp4"], "id": "both"}',
        '{"video": "a.mp4", "question": "Who?", "id": "one"}',
    ]
    rows = read_rows("\n".join(text))
    path = tmp_path / "a.jsonl"
    run_rows(asker, rows, path, workers=2)
    records = told(path)
    assert records["two"]["answer"] == "a.mp4 b.mp4: Which?"
    assert records["two"]["video"] == ["a.mp4", "b.mp4"]
    assert records["gone"]["error"] == "missing.mp4: No such file or directory"
    assert records["both"]["frames"] == 14
    assert records["both"]["entry"] == [str(tmp_path / "log")] * 2
    assert records["one"]["answer"] == "a.mp4: Who?"
    assert run_rows(asker, rows, path) == [records[row.id] for row in rows]
    assert logged()["ask a.mp4 b.mp4 Which?"] == 1
    assert records["two"]["warnings"] == ["the stand-in was trained on one video"]
    assert "warnings" not in records["one"]


def test_a_row_without_a_question_tells_what_became_of_the_index(asker, tmp_path):
    three = AskOptions(max_frames=3)
    rows = [
        Row(video=f"{v}.mp4", id=v, options=three) for v in ("a", "lost", "cut_lost")
    ]
    kept, lost, why = run_rows(asker, rows)
    assert kept.pop("num_bytes") > 0
    assert kept.pop("seconds") >= 0
    assert kept == {
        "id": "a",
        "video": "a.mp4",
        "question": None,
        "state": "new",
        "entry": str(tmp_path / "log"),
        "frames": 3,
    }
    assert lost["error"] == "it is not kept: it changed while it was read"
    assert why["error"] == "it is not kept: cut_lost.mp4: 3 frames are lost"


def test_each_excerpt_and_stream_of_a_video_is_encoded_once(asker, tmp_path):
    part = AskOptions(start="1:00", end=90)
    rows = [
        Row(video="a.mp4", id="part", question="What?", options=part),
        Row(video="a.mp4", id="whole", question="What?"),
        Row(video="a.mp4", id="more", question="Who?", options=part),
        Row(video="a.mp4", id="other", question="What?", options=AskOptions(stream=1)),
    ]
    told = {record["id"]: record for record in run_rows(asker, rows)}
    log = (tmp_path / "log").read_text()
    assert log.count("index a.mp4 start=60.0 end=90.0 ") == 1
    assert log.count("index a.mp4 stream=1 ") == 1
    assert log.count("index a.mp4 ") == 3
    assert (told["more"]["start"], told["more"]["end"]) == (60.0, 90.0)
    assert told["other"]["stream"] == 1
    assert not told["whole"].keys() & {"start", "end", "stream"}


def test_videos_can_be_made_and_records_say_more(asker, tmp_path):
    there = []

    @contextmanager
    def make(address):
        there.append(address)
        yield f"made of {address}"
        there.remove(address)

    def judge(row, answer, index):
        assert there == [row.video]
        return {"right": answer.text.endswith(row.answer), "frames": index.num_frames}

    rows = [
        Row(video="world:1", question=q, id=q, answer=a, facts={"kind": "needle"})
        for q, a in (("What?", "What?"), ("Who?", "nobody"))
    ]
    asker = Asker(StandInLoader(str(tmp_path)), open_video=make, describe=judge)
    records = run_rows(asker, rows)
    assert [record["right"] for record in records] == [True, False]
    assert records[0]["kind"] == "needle"
    assert records[0]["answer"] == "made of world:1: What?"
    assert there == []


def test_a_run_that_stops_goes_on(tmp_path, make_rows, asker, logged):
    rows = make_rows(3, "What?", "Who?")
    path = tmp_path / "a.jsonl"

    def stop(record):
        if record["id"] == "1/0":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_rows(asker, rows, path, on_record=stop)
    assert len(told(path)) == 3
    before = path.read_text()
    new = []
    run_rows(asker, rows, path, on_record=new.append)
    assert len(new) == 3
    assert len(told(path)) == 6
    assert path.read_text().startswith(before)
    assert logged()["ask v1.mp4 What?"] == 1
    run_rows(asker, rows, path)
    assert logged()["load"] == 2  # nothing left, nothing loaded


def test_failed_rows_are_asked_again_only_where_wanted(tmp_path, asker):
    path = tmp_path / "a.jsonl"
    rows = [Row(video="v.mp4", question=q, id=q) for q in ("too long?", "What?")]
    run_rows(asker, [*rows, Row(video="v.mp4", question="too long?", id="other")], path)
    new = []
    run_rows(asker, rows, path, on_record=new.append)
    assert new == []
    again = [Row(video="v.mp4", question="too long?", id="too long?"), rows[1]]
    run_rows(asker, again, path, retries=True, on_record=new.append)
    assert [record["id"] for record in new] == ["too long?"]
    assert set(told(path)) == {"too long?", "What?", "other"}  # others' rows are kept


def test_records_of_other_questions_are_refused(tmp_path, asker):
    path = tmp_path / "a.jsonl"
    run_rows(asker, [Row(video="v.mp4", question="What?", id="1")], path)
    with pytest.raises(ValueError, match=r"another question under the id '1'"):
        run_rows(asker, [Row(video="v.mp4", question="Who?", id="1")], path)
    with pytest.raises(ValueError, match="belongs to something else than this run"):
        run_rows(asker, [], path, stamp={"seed": 1})
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        run_rows(asker, [], path, workers=0)
