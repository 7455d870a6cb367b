"""Text of every kind that files hold."""

from __future__ import annotations

import json

import pytest

from dynfocus.text import (
    check_name,
    check_text,
    mend_text,
    plural,
    read_moment,
    read_text,
    round_floats,
    sentence,
    to_json,
)

HALF = "\ud83d"


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        (98, 98.0),
        (0.5, 0.5),
        ("98", 98.0),
        (" 1:38 ", 98.0),
        ("01:38.25", 98.25),
        ("100:00", 6000.0),
        ("1:02:03", 3723.0),
    ],
)
def test_a_moment_is_read_as_people_write_it(moment, seconds):
    assert read_moment(moment, "start") == seconds


@pytest.mark.parametrize(
    "moment",
    ["", "soon", "1:60", "1:60:00", "1:2:3:4", "-1", "1e3", ":30", -1, True, None]
    + [float("nan"), float("inf")],
)
def test_what_is_no_moment_is_refused(moment):
    with pytest.raises(ValueError, match="^start must be seconds from 0, m:ss or h:mm"):
        read_moment(moment, "start")


def test_half_a_character_is_named_with_its_place():
    assert check_text(" Où? ", "question") == " Où? "
    with pytest.raises(
        ValueError,
        match=r"question holds half a character, '\\ud83d', at place 3; write",
    ):
        check_text(f"a {HALF}", "question")


@pytest.mark.parametrize("text", ["", " \n", None, 3, ["What?"]])
def test_what_is_no_text_is_refused(text):
    with pytest.raises(ValueError, match="question must be a text that is not empty"):
        check_text(text, "question")


def test_a_nul_is_named_in_a_text_and_in_a_name():
    with pytest.raises(ValueError, match="the question holds a NUL .* place 4; leave"):
        check_text("who\0?", "the question")
    with pytest.raises(ValueError, match="which no file has in its name, got 'a.x00b'"):
        check_name("a\0b", "the name of the video")


def test_halves_are_joined_and_one_alone_becomes_a_mark():
    assert mend_text("a\ud83d\ude00") == "a\N{GRINNING FACE}"
    assert mend_text(f"a{HALF}b") == "a\N{REPLACEMENT CHARACTER}b"


def test_json_can_always_be_written_and_read_back():
    assert to_json({"a": "ü"}) == '{"a": "ü"}'
    broken = {"a": f"ü{HALF}", "b": "caf\udce9.mp4"}
    text = to_json(broken)
    assert json.loads(text.encode()) == broken
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(float("nan"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path, encoding):
    path = tmp_path / "rows.jsonl"
    path.write_bytes("{ü}\n".encode(encoding))
    assert read_text(path) == "{ü}\n"


def test_another_encoding_is_named_with_file_and_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"one\ntwo\n\xe4\n")
    with pytest.raises(ValueError, match=r"rows.jsonl: line 3 is not UTF-8 .byte 0xe4"):
        read_text(path)
    path.write_bytes(b"\xff\xfea\x00b")
    with pytest.raises(ValueError, match="line 1 is not UTF-16"):
        read_text(path)


def test_what_went_wrong_is_one_line():
    error = FileNotFoundError(2, "No such file or directory", "a.mp4")
    assert sentence(error) == "a.mp4: No such file or directory"
    assert sentence(ValueError("two\n lines")) == "two lines"
    assert sentence(MemoryError()) == "MemoryError"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 frames"), (1, "1 frame"), (1200, "1,200 frames")]
)
def test_a_count_agrees_with_its_noun(count, text):
    assert plural(count, "frame") == text


def test_numbers_that_are_shown_have_no_noise():
    shown = {"a": 47.480000000000004, "b": [0.000415138580, 1e-9], "c": (3, "x", None)}
    assert round_floats(shown) == {
        "a": 47.48,
        "b": [0.000415139, 1e-9],
        "c": [3, "x", None],
    }
    assert round_floats(float("inf")) == float("inf")
