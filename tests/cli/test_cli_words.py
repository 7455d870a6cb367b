"""``dynfocus words``, and reading beside the index and in a stream."""

from __future__ import annotations

import json

import pytest

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello\nthere\n"


def test_subtitles_are_printed_with_their_times(run, clip, tmp_path):
    file = tmp_path / "said.srt"
    file.write_text(SRT)
    outcome = run("words", clip, "--subtitles", file, "--no-read")
    assert (outcome.code, outcome.out) == (0, "1.0\t2.5\tsubtitle\tHello / there\n")
    assert "1 text in" in outcome.err
    document = run("words", clip, "--subtitles", file, "--no-read", "--json").document
    assert document["videos"][0]["texts"] == [
        {"start": 1.0, "end": 2.5, "text": "Hello\nthere", "source": "subtitle"}
    ]


def test_video_without_words_says_so(run, clip):
    outcome = run("words", clip, "--no-read")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err_lines[-1].endswith("no words were found")


def test_missing_subtitles_are_named(run, clip):
    outcome = run("words", clip, "--subtitles", "none.srt", "--no-read")
    assert outcome.code == 1
    assert outcome.err_lines == [
        "dynfocus: none.srt: there is no such file; check the path"
    ]


def test_one_bad_video_does_not_stop_the_others(run, clip, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    outcome = run("words", bad, clip, "--no-read", "--json")
    assert outcome.code == 1
    first, second = outcome.document["videos"]
    assert "not a video" in first["reason"]
    assert second["texts"] == []


def test_pictures_are_read_with_the_index_if_asked(run, models, clip, index_folder):
    pytest.importorskip("rapidocr")
    outcome = run("index", clip, "--read", "--json")
    assert outcome.code == 0
    assert outcome.document["videos"][0]["num_texts"] == 0
    assert [*(index_folder / "words").glob("*/*.jsonl")]
    silent = run("index", clip, "--json").document  # nano reads unless asked not
    assert "num_texts" not in silent["videos"][0]


def test_stream_is_read_as_it_comes(run, models, clip):
    pytest.importorskip("rapidocr")
    outcome = run("watch", clip, "-m", "x", "--ask", "What?", "--read", "--json")
    assert outcome.code == 0
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert lines[-1]["question"] == "What?"


def test_what_reading_costs_is_said_before_it_and_not_again(run, clip, monkeypatch):
    pytest.importorskip("rapidocr")
    monkeypatch.setattr("dynfocus.cli.words._SHORT_SECONDS", 0.0)
    told = f"Reading the pictures of {clip}, once: 1 to 1 minute with two cores; "
    calls = [("ask", clip, "What is written?", "-m", "words"), ("words", clip)]
    calls.append(("frames", clip, "What is written?", "--scorer", "text"))
    assert [told in run(*call).err for call in calls] == [True, False, False]
