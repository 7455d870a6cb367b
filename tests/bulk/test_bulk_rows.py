"""Rows: defaults, ids, groups; all that is wrong is named before anything runs."""

from __future__ import annotations

import json

import pytest

from dynfocus.bulk import BulkRow, group_by_video, read_rows


def lines(*rows):
    return [json.dumps(row) if isinstance(row, dict) else row for row in rows]


def test_rows_take_what_they_do_not_say_from_the_defaults():
    rows = read_rows(
        lines(
            {"video": "a.mp4", "question": "What?", "id": "one", "fps": 2},
            "",
            {"video": "b.mp4", "question": "What?", "id": 7, "max_video_tokens": 90},
        ),
        {"fps": 0.5, "max_frames": 8},
    )
    assert rows == [
        BulkRow(video="a.mp4", question="What?", id="one", fps=2, max_frames=8),
        BulkRow(
            video="b.mp4",
            question="What?",
            id="7",
            fps=0.5,
            max_frames=8,
            max_video_tokens=90,
        ),
    ]


def test_rows_without_an_id_get_the_same_one_in_every_run():
    texts = [{"video": v, "question": q} for v in "ab" for q in ("What?", "Who?")]
    first = read_rows(lines(*texts, texts[0]), {})
    assert len({row.id for row in first}) == 5
    assert first[4].id == f"{first[0].id}-2"
    again = read_rows(lines(*texts[1:]), {})
    assert [row.id for row in again] == [row.id for row in first[1:4]]
    assert read_rows(lines(*texts), {"fps": 2.0})[0].id != first[0].id


def test_rows_about_one_video_stand_together():
    rows = [BulkRow(video=v, question="?", id=f"{n}") for n, v in enumerate("abacb")]
    jobs = group_by_video(rows)
    assert [job.video for job in jobs] == ["a", "b", "c"]
    assert [[row.id for row in job.rows] for job in jobs] == [
        ["0", "2"],
        ["1", "4"],
        ["3"],
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: this is not JSON"),
        ("[]", "line 2: expected a JSON object, got list"),
        ({"question": "?"}, "line 2: the field 'video' is missing"),
        ({"video": "a", "answer": "?"}, "no field 'answer'; a row has video, question"),
        ({"video": 3}, "video must be a text that is not empty, got 3"),
        ({"video": "a", "question": " "}, "question must be a text that is not empty"),
        ({"video": "a", "id": "x"}, "the id 'x' is that of line 1, too"),
        ({"video": "a", "id": True}, "id must be a text that is not empty, got True"),
        ({"video": "a", "fps": 0}, "fps must be a number above 0, got 0"),
        ({"video": "a", "max_frames": 1.5}, "max_frames must be a whole number"),
        ({"video": "a", "max_new_tokens": None}, "max_new_tokens must be a whole numb"),
    ],
)
def test_wrong_lines_are_named(line, message):
    good = {"video": "a", "question": "?", "id": "x"}
    with pytest.raises(ValueError, match="^line 2: ") as caught:
        read_rows(lines(good, line), {})
    assert message in str(caught.value)


def test_the_first_wrong_lines_are_told_and_the_others_counted():
    with pytest.raises(ValueError, match=r"^line 1: .*; line 5: .*; and 3 more lines$"):
        read_rows(["no"] * 8, {})
    with pytest.raises(ValueError, match="there are no rows"):
        read_rows(["", "\n"], {})
