"""Rows: defaults, ids, groups; all that is wrong is named before anything runs."""

from __future__ import annotations

import json

import pytest

from dynfocus.bulk import Row, group_by_video, read_rows
from dynfocus.models.options import AskOptions


def lines(*rows):
    return "\n".join(json.dumps(r) if isinstance(r, dict) else r for r in rows)


def test_subtitles_are_named_by_a_row_of_one_video():
    row = {"video": "a.mp4", "question": "What?"}
    plain, one, two = read_rows(
        lines(
            row, row | {"subtitles": "a.srt"}, row | {"subtitles": ["a.srt", "b.srt"]}
        )
    )
    assert plain.id == "ada8b28ce2931ebb"  # as it was before rows had subtitles
    assert (one.subtitles, two.subtitles) == (("a.srt",), ("a.srt", "b.srt"))
    assert len({plain.id, one.id, two.id}) == 3
    (several,) = read_rows(lines(row | {"video": ["a", "b"], "subtitles": "a.srt"}))
    assert several.problem == "subtitles go with one video; leave the others out"
    with pytest.raises(ValueError, match="a name or a list of names, got 3"):
        read_rows(lines(row | {"subtitles": 3}))


def test_rows_take_what_they_do_not_say_from_the_defaults():
    rows = read_rows(
        lines(
            {"video": "a.mp4", "question": "What?", "id": "one", "fps": 2},
            "",
            {"video": "b.mp4", "question": "What?", "id": 7, "max_video_tokens": 90},
        ),
        AskOptions(fps=0.5, max_frames=8),
    )
    assert rows == [
        Row(
            video="a.mp4",
            question="What?",
            id="one",
            options=AskOptions(fps=2, max_frames=8),
        ),
        Row(
            video="b.mp4",
            question="What?",
            id="7",
            options=AskOptions(fps=0.5, max_frames=8, max_video_tokens=90),
        ),
    ]


def test_null_stands_for_what_is_not_given():
    given = {"video": "a", "question": None, "id": None, "max_frames": None}
    (row,) = read_rows(lines(given), AskOptions(max_frames=8))
    assert (row.question, row.options.max_frames) == (None, 8)
    assert row.id == read_rows(lines({"video": "a", "max_frames": 8}))[0].id


def test_what_is_known_of_the_answer_goes_along():
    known = {"answer": "a cat", "evidence": [[1, 2.5]], "facts": {"kind": "needle"}}
    (row,) = read_rows(lines({"video": "a", "question": "What?"} | known))
    assert (row.answer, row.evidence) == ("a cat", ((1.0, 2.5),))
    assert row.facts == {"kind": "needle"}


def test_half_a_character_is_no_reason_to_refuse_the_other_rows():
    (row,) = read_rows('{"video": "a", "question": "Half \\ud83d"}')
    assert row.question == "Half \ud83d"
    assert row.id


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"video": None}, "video must be a text that is not empty, got None"),
        (
            {"video": 3, "question": "?"},
            "video must be a text that is not empty, got 3",
        ),
        ({"video": "a", "question": " "}, "question must be a text that is not empty"),
        ({"video": "a", "question": ""}, "question must be a text that is not empty"),
        ({"video": "a", "question": ["?"]}, "question must be a text that is not emp"),
        ({"video": "a", "messages": "?"}, "'conversations' must be a list of turns"),
        (
            {"messages": [{"role": "user", "content": "?"}]},
            "a row asks about videos, got text alone",
        ),
        (
            {
                "videos": ["a", "b"],
                "messages": [{"role": "user", "content": "<video>?"}],
            },
            "marks 1 places for its 2 videos; mark one for each, or none",
        ),
    ],
)
def test_a_wrong_video_or_question_is_the_problem_of_its_row(row, problem):
    good = {"video": "a", "question": "?"}
    first, wrong, last = read_rows(lines(good, row, good))
    assert (first.problem, last.problem) == ("", "")
    assert problem in wrong.problem
    assert wrong.id


PARTS = [{"type": "video", "video": "a"}, {"type": "text", "text": "What?"}]


@pytest.mark.parametrize(
    "row",
    [
        {"video": "a", "messages": [{"role": "user", "content": "What?"}]},
        {"messages": [{"role": "user", "content": PARTS}]},
        {"video": ["a"], "conversations": [{"from": "human", "value": "<video>What?"}]},
    ],
)
def test_a_question_may_be_a_turn(row):
    (found,) = read_rows(lines({"id": "x"} | row))
    assert found == Row(video="a", question="What?", id="x")
    name = "messages" if "messages" in row else "conversations"
    reply = {"role": "assistant", "content": "That."}
    (answered,) = read_rows(lines(row | {name: [*row[name], reply]}))
    assert answered.answer == "That."
    for more in ([*row[name], reply] * 2, [{"role": "system", "content": "!"}]):
        (wrong,) = read_rows(lines(row | {name: more}))
        assert "a row asks one question, with or without its answer, got turns" in (
            wrong.problem
        )


def test_a_row_may_be_about_several_videos():
    pair = {"video": ["a", "b"], "question": "Which?"}
    shown = [{"type": "video", "video": name} for name in "ab"]
    turn = {"role": "user", "content": [*shown, {"type": "text", "text": "Which?"}]}
    single = {"video": "a", "question": "Which?"}
    rows = read_rows(lines(pair, single, {"messages": [turn]}, pair))
    assert [row.videos for row in rows] == [("a", "b"), ("a",), ("a", "b"), ("a", "b")]
    assert [row.shown_video for row in rows[:2]] == [["a", "b"], "a"]
    assert len({row.id for row in rows}) == 4
    jobs = group_by_video(rows)
    assert [(job.name, len(job.rows)) for job in jobs] == [("a, b", 3), ("a", 1)]
    for wrong in ([], ["a", ""], ["a", 3], [["a"]]):
        (row,) = read_rows(lines({"video": wrong, "question": "?"}))
        assert "video must be a text that is not empty, got" in row.problem


def test_rows_without_an_id_get_the_same_one_in_every_run():
    texts = [{"video": v, "question": q} for v in "ab" for q in ("What?", "Who?")]
    first = read_rows(lines(*texts, texts[0]))
    assert len({row.id for row in first}) == 5
    assert first[4].id == f"{first[0].id}-2"
    again = read_rows(lines(*texts[1:]))
    assert [row.id for row in again] == [row.id for row in first[1:4]]
    assert read_rows(lines(*texts), AskOptions(fps=2.0))[0].id != first[0].id


def test_rows_about_one_video_stand_together():
    rows = [Row(video=v, question="?", id=f"{n}") for n, v in enumerate("abacb")]
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
        ({"video": "a", "quest": "?"}, "no field 'quest'; a row has video, question"),
        ({"video": "a", "evidence": [3]}, "evidence must be a list of [begin, end]"),
        ({"video": "a", "id": "x"}, "the id 'x' is that of line 1, too"),
        ({"video": "a", "id": True}, "id must be a text that is not empty, got True"),
        ({"video": "a", "fps": 0}, "fps must be above 0, got 0"),
        ({"video": "a", "max_frames": 1.5}, "max_frames must be a whole number"),
        ({"video": "a", "max_new_tokens": 0}, "max_new_tokens must be at least 1"),
    ],
)
def test_wrong_lines_are_named(line, message):
    good = {"video": "a", "question": "?", "id": "x"}
    with pytest.raises(ValueError, match="^line 2: ") as caught:
        read_rows(lines(good, line))
    assert message in str(caught.value)


def test_the_first_wrong_lines_are_told_and_the_others_counted():
    with pytest.raises(ValueError, match=r"^line 1: .*; line 5: .*; and 3 more lines$"):
        read_rows("no\n" * 8)
    with pytest.raises(ValueError, match="there are no rows"):
        read_rows("\n\n")
