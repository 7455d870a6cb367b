"""``dynfocus find`` and answers without a model, on a clip with subtitles beside it."""

from __future__ import annotations

import os
import sqlite3

import pytest

from dynfocus.words.updating import default_library
from spoken_clip import write_spoken_clip

pytest.importorskip("pysubs2")


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    return write_spoken_clip(tmp_path_factory.mktemp("talks"))


def test_the_best_place_comes_first_with_what_was_read(run, talk):
    outcome = run("find", talk, "how large is the divdend", "--no-read")
    assert outcome.code == 0
    first = outcome.out.splitlines()[0]
    assert first == "1.000\tThe dividend is 0.62 euros per share this year."
    again = run("find", talk, "LX-220", "--no-read")
    assert again.out.startswith("10.000\tForm LX-220")
    assert "texts in" in outcome.err
    assert "texts in" not in again.err


def test_a_library_is_searched_without_naming_a_video(run, talk, tmp_path):
    library = tmp_path / "words.db"
    other = write_spoken_clip(tmp_path, "other")
    run("find", talk, other, "aphids", "--no-read", "--library", library)
    library.chmod(0o444)
    outcome = run("find", "aphids after 0:03", "--library", library, "--json")
    document = outcome.document
    assert document["num_videos"] == 2
    assert {one["video"] for one in document["places"]} == {str(talk), str(other)}
    other.unlink()
    outcome = run("find", "aphids", "--library", library)
    assert f"{other} is not there any more" in outcome.err


def test_what_changed_is_read_again(run, tmp_path):
    clip = write_spoken_clip(tmp_path)
    run("find", clip, "aphids", "--no-read")
    subtitles = clip.with_suffix(".srt")
    text = subtitles.read_text(encoding="utf-8").replace("Aphids", "Mealybugs")
    subtitles.write_text(text, encoding="utf-8")
    os.utime(subtitles, ns=(1, 1))
    outcome = run("find", clip, "mealybugs", "--no-read")
    assert outcome.out.startswith("5.000\tMealybugs")
    assert "3 texts in" in outcome.err


def test_places_are_shown_as_pictures_and_a_page(run, talk, tmp_path):
    page, folder = tmp_path / "found.html", tmp_path / "pictures"
    outcome = run(
        *("find", talk, "aphids", "--no-read", "--report", page, "--out", folder),
        "--json",
    )
    assert outcome.document["files"][0] == "0001.jpg"
    assert (folder / "0001.jpg").read_bytes()[:2] == b"\xff\xd8"
    text = page.read_text(encoding="utf-8")
    assert "Aphids are washed away" in text
    assert "data:image/jpeg" in text


def test_nothing_found_is_no_error(run, talk):
    outcome = run("find", talk, "quantum chromodynamics", "--no-read")
    assert (outcome.code, outcome.out) == (0, "")
    assert "Nothing found: no text of 1 video (3 texts)" in outcome.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("",), 2, "the question is empty"),
        (("after 10:00 before 5:00",), 2, "exclude each other"),
        (("no-such.mp4", "what"), 1, "no-such.mp4 is no file"),
        (("what",), 1, "there is no library of words"),
    ],
)
def test_a_wrong_call_is_one_sentence(run, words, code, said):
    outcome = run("find", *words, "--no-read")
    assert outcome.code == code
    assert said in outcome.err


def test_a_file_that_is_no_library_is_named(run, talk, tmp_path):
    other = tmp_path / "notes.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE recipes (name)")
    database.close()
    outcome = run("find", talk, "aphids", "--no-read", "--library", other)
    assert outcome.code == 1
    assert "is no library of words of this version" in outcome.err
    assert not default_library().exists()


def test_a_video_without_a_model_is_answered_by_what_was_read(run, talk):
    outcome = run("ask", talk, "Who signs form LX-220?", "--json")
    assert outcome.code == 0
    document = outcome.document
    assert (document["model"], document["tokens"]) == ("words", 0)
    assert document["text"].startswith("No model was asked. Read in the video:\n00:10 ")
    assert document["best_time"] == 10
    assert document["words"][0]["source"] == "subtitle"
    nothing = run("ask", talk, "What is quantum chromodynamics?")
    assert nothing.code == 0
    assert "Nothing that is written or said" in nothing.out
    chat = run("chat", talk, stdin="aphids\n")
    assert "Aphids are washed away" in chat.out


def test_frames_are_chosen_where_the_question_is_talked_about(run, talk):
    call = ("frames", talk, "how are aphids removed", "--budget", "2")
    document = run(*call, "--scorer", "text", "--json").document
    best = min(document["frames"], key=lambda frame: frame["rank"])
    assert 5 <= best["time"] < 8
    assert document["scorer"] == "text"
    assert document["words"][0]["text"].startswith("Aphids")
    other = run("frames", talk, "quantum chromodynamics", "--scorer", "text")
    assert other.code == 0
    assert "is about the question" in other.err
