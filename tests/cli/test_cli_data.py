"""``dynfocus data``: exit codes and what goes to which stream."""

from __future__ import annotations

import json
import shutil

import pytest

TURNS = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "This"}]


@pytest.fixture
def data(clip, tmp_path):
    shutil.copy(clip, tmp_path / "clip.mp4")
    samples = [
        {"id": "good", "video": "clip.mp4", "conversations": TURNS},
        {"id": "gone", "video": "gone.mp4", "conversations": TURNS},
    ]
    (tmp_path / "data.json").write_text(json.dumps(samples))
    return tmp_path / "data.json"


def test_a_check_prints_what_is_wrong_and_fails(run, data):
    outcome = run("data", "check", data, "--workers", 1)
    assert outcome.code == 1
    assert outcome.out.startswith("gone: ")
    assert outcome.out.count("\n") == 1
    assert outcome.err_lines == [
        f"1 of 2 samples in {data.parent / 'data.clean.jsonl'}"
    ]


def test_a_check_of_clean_data_succeeds(run, data):
    run("data", "check", data, "--workers", 1, "--out", "clean.json")
    outcome = run("data", "check", "clean.json", "--workers", 1, "--json")
    assert outcome.code == 0
    assert outcome.document == {
        "file": "clean.json",
        "clean": "clean.clean.jsonl",
        "num_samples": 1,
        "num_good": 1,
        "problems": [],
        "damaged": [],
    }


def test_a_bad_record_leaves_the_others_in_the_list(run, data):
    """Nulls of exported tables, half an emoji and a byte order mark."""
    asked = {"from": "human", "value": "Half \ud83d"}
    samples = [
        {"id": "a", "video": "clip.mp4", "image": None, "conversations": TURNS},
        {"id": "b", "video": "clip.mp4", "conversations": [asked, TURNS[1]]},
        {"id": "c", "video": "", "conversations": TURNS},
    ]
    lines = "\n".join(map(json.dumps, samples))
    data.with_suffix(".jsonl").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    outcome = run("data", "check", "data.jsonl", "--workers", 1)
    assert outcome.code == 1
    assert outcome.out.splitlines() == [
        "b: 'value' of turn 1 holds half a character, '\\ud83d', at place 6; write the "
        "whole character or leave it out",
        "c: 'video' must be a text that is not empty, got ''",
    ]
    (line,) = (data.parent / "data.clean.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == "a"


def test_wrong_calls_are_told_apart(run, data):
    assert run("data", "check", data, "--out", "a.txt").code == 2
    assert run("data", "check", data, "--workers", 0).code == 2
    assert run("data", "import", "llava", "a", "b.json").code == 2
    outcome = run("data", "check", "no.json")
    assert outcome.code == 1
    assert "no.json does not exist" in outcome.err
    outcome = run("data", "import", "webvid", "no.csv", "b.json")
    assert outcome.code == 1
    assert outcome.err_lines == [
        "dynfocus: no.csv does not exist; give the published file"
    ]


def test_an_import_prints_the_file(run, tmp_path):
    entries = [{"q": "What?", "a": "This", "video_id": name} for name in ("a", "b")]
    (tmp_path / "vcg.json").write_text(json.dumps(entries))
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.mp4").touch()
    outcome = run("data", "import", "video-chatgpt", "vcg.json", "out.jsonl")
    assert (outcome.code, outcome.out) == (0, "out.jsonl\n")
    assert outcome.err_lines == ["2 samples written"]
    outcome = run(
        "data", "import", "video-chatgpt", "vcg.json", "out.json", "--media", "media",
        "--json",
    )  # fmt: skip
    assert outcome.document == {
        "file": "out.json",
        "num_samples": 1,
        "num_without_video": 1,
    }
    assert outcome.err_lines == ["1 sample left out: the video is not in media"]
