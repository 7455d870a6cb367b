"""Every command that takes a video file takes its http address, too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dynfocus.video import VideoWriter
from dynfocus.world import make_video


@pytest.fixture
def address(web, clip) -> str:
    return web.put("film.mp4", clip) + f"?sig=s3cret{'0' * 400}"


@pytest.fixture
def shown(web) -> str:
    return web.address("film.mp4") + "?..."


def test_probe_describes_what_is_at_an_address(run, address, shown, clip):
    found, wanted = run("probe", address, "--json"), run("probe", clip, "--json")
    assert found.document == wanted.document | {"path": shown}
    assert f"file        {shown}, " in run("probe", address).out


def test_frames_are_chosen_at_an_address(run, address, clip):
    found = run("frames", address, "What?", "--budget", "4", "--out", "chosen")
    assert found.out == run("frames", clip, "What?", "--budget", "4").out
    assert len(list(Path("chosen").iterdir())) == 4


def test_a_storyboard_and_a_timeline_take_the_name_of_the_file(
    run, models, address, shown
):
    outcome = run("storyboard", address, "--json")
    assert (outcome.document["video"], outcome.document["file"]) == (
        "film.mp4",
        "film-storyboard.png",
    )
    outcome = run("timeline", address, "What?", "Who?", "-m", "other", "--json")
    assert outcome.document["file"] == "film-timeline.png"
    assert outcome.document["video"] == shown


def test_a_question_is_answered_about_an_address(run, models, address, shown):
    outcome = run("ask", address, "What is this?", "-m", "other", "--json")
    assert outcome.document["text"] == "words: 3"
    assert outcome.document["video"] == shown
    assert "words: 2" in run("chat", address, "-m", "other", stdin="What now?\n").out


def test_nano_answers_about_an_address_and_reports(run, web, tmp_path):
    world = make_video(tmp_path / "world.mp4", 8, seed=3)
    address = web.put("world.mp4", world.path)
    question = world.questions[0].question
    wanted = run("ask", world.path, question)
    found = run("ask", address, question, "--report", "r.html")
    assert found.code == 0
    assert found.out == wanted.out
    assert "world.mp4" in Path("r.html").read_text()


@pytest.mark.parametrize("num_parts", [2, 4])
def test_a_file_that_vanishes_while_it_is_read_is_one_sentence(
    run, models, web, tmp_path, num_parts
):
    noise = np.random.default_rng(0).integers(0, 255, (12, 480, 640, 3), np.uint8)
    with VideoWriter(tmp_path / "noise.mp4", fps=2, size=(480, 640)) as writer:
        for picture in noise:
            writer.write(picture)
    address = web.put("noise.mp4", tmp_path / "noise.mp4")
    page = web.page("noise.mp4")

    class Ranges(list):
        def append(self, part):
            super().append(part)
            if len(self) == num_parts:
                page.status = 404

    page.ranges = Ranges()
    for _ in range(2):  # PyAV tells of the first failure at the second
        outcome = run("frames", address, "What?", "--budget", "4")
        assert outcome.code == 1
        (line,) = outcome.err_lines
        assert line.startswith(f"dynfocus: {address}: the server answers with HTTP 404")
        page.status = 200
        page.ranges.clear()


def test_addresses_are_indexed(run, web, tmp_path):
    world = make_video(tmp_path / "world.mp4", 8, seed=3)
    good = web.put("world.mp4", world.path)
    changing = web.put("live.mp4", world.path, headers={"Last-Modified": ""})
    gone = web.address("gone.mp4") + "?sig=s3cret"
    outcome = run("index", good, gone, changing, "--json")
    assert outcome.code == 1
    states = {one["file"]: one for one in outcome.document["videos"]}
    assert states[good]["state"] == "new"
    missing = states[web.address("gone.mp4") + "?..."]
    assert missing["reason"].startswith("the server answers with HTTP 404")
    assert "neither ETag nor Last-Modified" in states[changing]["reason"]
    assert run("index", good, "--json").document["videos"][0]["state"] == "done"
    assert good in run("index", "--list").out
    outcome = run("index", good, gone, "--dry-run")
    assert outcome.out.endswith(f"\t{good}\n")
    assert "s3cret" not in outcome.err


def test_rows_may_name_addresses(run, models, address, shown, web, tmp_path):
    rows = [
        {"video": address, "question": "What is this?", "id": "a"},
        {"video": web.address("gone.mp4"), "question": "What?", "id": "b"},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    for _ in range(2):  # the second run finds its answers
        outcome = run("batch", "-", "--out", "a.jsonl", "-m", "other", stdin=lines)
        assert outcome.code == 1
    told = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert [record["video"] for record in told] == [shown, web.address("gone.mp4")]
    assert told[0]["answer"] == "words: 3"
    assert "HTTP 404; there is no such file" in told[1]["error"]
    assert "s3cret" not in Path("a.jsonl").read_text()


def test_training_data_may_name_addresses(run, address, web, tmp_path):
    turns = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "This"}]
    samples = [
        {"id": "good", "video": address, "conversations": turns},
        {"id": "gone", "video": web.address("gone.mp4"), "conversations": turns},
        {"id": "image", "image": web.address("no.png"), "conversations": turns},
    ]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    outcome = run("data", "check", data, "--workers", "1")
    assert outcome.code == 1
    assert (outcome.out + outcome.err).count("HTTP 404; there is no such file") == 2
    clean = (tmp_path / "data.clean.jsonl").read_text()
    kept = [json.loads(line) for line in clean.splitlines()]
    assert [sample["id"] for sample in kept] == ["good"]


@pytest.mark.parametrize("command", ["probe", "storyboard"])
def test_what_cannot_be_read_is_one_sentence_without_secrets(run, web, command):
    address = web.put("page", b"<html>" * 100, headers={"Content-Type": "text/html"})
    outcome = run(command, f"{address}?token=s3cret")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err_lines == [
        f"dynfocus: {address}?...: this is a web page, not a video; give the address of "
        "the file itself, or download the video with a program for that site."
    ]
    outcome = run(command, "ftp://host/film.mp4")
    assert outcome.code == 1
    assert "addresses of ftp are not read as files" in outcome.err


@pytest.mark.parametrize("names_length", [True, False])
def test_a_large_file_that_has_to_be_fetched_whole_is_told_of_once(
    names_length, run, web, clip, monkeypatch
):
    monkeypatch.setattr("dynfocus.video.remote._PATIENT_BYTES", 1000)
    address = web.put("film.mp4", clip, has_parts=False, names_length=names_length)
    outcome = run("probe", address)
    assert outcome.code == 0
    size = f" of {clip.stat().st_size / 1e6:,.0f} MB" if names_length else ""
    assert outcome.err_lines == [
        f"dynfocus: warning: {address}: its server gives no parts, so the whole "
        f"file{size} is fetched before it is read; this may take long."
    ]
