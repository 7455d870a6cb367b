"""Answers on disk: a line each, never two, whatever ended the run before."""

from __future__ import annotations

import json

import pytest

from dynfocus.bulk import AnswersFile


def record(row, **facts):
    return {"id": row.id, "video": row.video, "question": row.question} | facts


def test_records_are_lines_and_a_row_has_one(tmp_path, make_rows):
    rows = make_rows(1, "What?", "Who?", "wo grün?")
    path = tmp_path / "new folder" / "a.jsonl"
    with AnswersFile(path, rows) as answers:
        assert answers.append(record(rows[2], answer="ja"))
        assert not answers.append(record(rows[2], answer="nein"))
        assert path.read_text().count("\n") == 1  # at once
        assert answers.open_rows == rows[:2]
    assert json.loads(path.read_text()) == record(rows[2], answer="ja")
    assert "grün" in path.read_text()


def test_half_a_line_at_the_end_is_dropped(tmp_path, make_rows):
    rows = make_rows(3, "What?")
    path = tmp_path / "a.jsonl"
    whole = json.dumps(record(rows[0], answer="x")) + "\n"
    for rest in ('{"id": "1/0", "vid', '{"id": "1/0", "video": "v1.mp4"}', '"ä'):
        path.write_bytes(whole.encode() + rest.encode()[:-1])
        with AnswersFile(path, rows) as answers:
            assert answers.open_rows == rows[1:]
            answers.append(record(rows[1], answer="y"))
        names = [json.loads(line)["id"] for line in path.read_text().splitlines()]
        assert names == ["0/0", "1/0"]


def test_failed_rows_are_asked_again_only_where_wanted(tmp_path, make_rows):
    rows = make_rows(3, "What?")
    path = tmp_path / "a.jsonl"
    with AnswersFile(path, rows) as answers:
        answers.append(record(rows[0], error="no"))
        answers.append(record(rows[1], answer="x"))
    with AnswersFile(path, rows) as answers:
        assert answers.open_rows == rows[2:]
        assert answers.num_failed == 1
    with AnswersFile(path, rows, retries=True) as answers:
        assert answers.open_rows == [rows[0], rows[2]]
        answers.append(record(rows[0], answer="now"))
        assert answers.num_failed == 0
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one.get("answer") for one in told] == ["x", "now"]


def test_answers_of_other_rows_are_kept(tmp_path, make_rows):
    rows = make_rows(2, "What?")
    path = tmp_path / "a.jsonl"
    with AnswersFile(path, rows[:1]) as answers:
        answers.append(record(rows[0], error="no"))
    with AnswersFile(path, rows[1:], retries=True) as answers:
        answers.append(record(rows[1], answer="x"))
        assert answers.num_failed == 0
    assert len(path.read_text().splitlines()) == 2


def test_files_of_another_kind_are_refused(tmp_path, make_rows):
    rows = make_rows(1, "What?")
    path = tmp_path / "a.jsonl"
    for content in ('{"id": 3}\n', "no json\n", "[1]\n"):
        path.write_text(content)
        with (
            pytest.raises(ValueError, match="line 1 is no answer; delete the file"),
            AnswersFile(path, rows),
        ):
            pass
        assert path.read_text() == content
    path.write_text(json.dumps(record(rows[0]) | {"question": "Other?"}) + "\n")
    with (
        pytest.raises(ValueError, match=r"another question under the id '0/0'"),
        AnswersFile(path, rows),
    ):
        pass


def test_two_runs_cannot_write_into_one_file(tmp_path, make_rows):
    rows = make_rows(1, "What?")
    path = tmp_path / "a.jsonl"
    with (
        AnswersFile(path, rows),
        pytest.raises(BlockingIOError, match="another run writes into this file"),
        AnswersFile(path, rows),
    ):
        pass
