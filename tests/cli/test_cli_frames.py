"""``dynfocus frames``, and ``dynfocus ask --backend openai``."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynfocus.defaults import RECOMMENDED_SCORER, find_downloaded
from seen_request import read_request
from stand_in_server import RefusedRequestError
from tiny_clip import save_tiny_clip

KEY = "sk-very-secret-0123456789"
QUESTION = "What does the \"red\" 'one' do?"


def server_of(stand_in, *more: object) -> tuple[object, ...]:
    return ("--backend", "openai", "--url", stand_in.url, "--model", "eyes", *more)


def test_a_line_a_frame(run, models, clip):
    outcome = run("frames", clip, QUESTION, "--budget", 6)
    assert outcome.code == 0
    rows = [line.split("\t") for line in outcome.out.splitlines()]
    times = [float(time) for time, _ in rows]
    assert len(times) == 6
    assert times == sorted(set(times))
    assert [kind for _, kind in rows].count("cone") == 4
    assert {int(time // 2) for time in times} == {0, 1, 2}  # every colour
    (line,) = outcome.err_lines
    assert "No scorer looked at the question" in line
    assert models == []


def test_frames_as_json_and_as_files(run, clip):
    outcome = run(
        "frames", clip, QUESTION, "--budget", 5, "--cones", 1, "--json",
        "--out", "chosen", "--cone-pixels", 64, "--rod-pixels", 32,
    )  # fmt: skip
    document = outcome.document
    assert document["question"] == QUESTION
    assert document["files"] == sorted(path.name for path in Path("chosen").iterdir())
    for frame, name in zip(document["frames"], document["files"], strict=True):
        assert name.endswith(f"-000m{frame['time']:06.3f}s-{frame['kind']}.jpg")
        with Image.open(Path("chosen") / name) as image:
            assert image.size == ((64, 48) if frame["kind"] == "cone" else (32, 24))
            colour = np.asarray(image).mean((0, 1)).argmax()
        assert colour == int(frame["time"] // 2)
    again = run("frames", clip, QUESTION, "--out", "chosen")
    assert (again.code, again.out) == (1, "")
    assert "chosen is there and not empty" in again.err


@pytest.mark.parametrize("layout", ["sheets", "images", "video"])
def test_the_request_is_ready_to_be_sent(run, clip, layout):
    call = (
        "frames", clip, QUESTION, "--budget", 6, "--layout", layout,
        "--served-model", "eyes", "--max-new-tokens", 9,
    )  # fmt: skip
    printed = run(*call, "--request", "-")
    assert printed.code == 0
    body = json.loads(printed.out)
    seen = read_request(body)
    assert (body["model"], body["max_tokens"]) == ("eyes", 9)
    assert seen.texts[-1] == QUESTION
    assert printed.err_lines[-1].startswith(
        "5 pictures" if layout == "sheets" else "6 "
    )
    written = run(*call, "--request", "request.json")
    assert len(written.out.splitlines()) == 6
    assert Path("request.json").read_text(encoding="utf-8") == printed.out


def test_an_encoder_or_a_model_may_score(run, clip, tmp_path):
    folder = save_tiny_clip(tmp_path)
    outcome = run("frames", clip, "what", "--budget", 3, "--scorer", folder, "--json")
    assert outcome.document["scorer"] == str(folder)
    assert max(f["relevance"] for f in outcome.document["frames"]) > 0
    assert outcome.document["rule"] == "events"
    assert outcome.err == ""
    call = ("frames", clip, "what", "--budget", 3, "--rule", "bolt")
    outcome = run(*call, "--scorer", folder, "--json")
    assert outcome.document["rule"] == "bolt"
    assert len(outcome.document["frames"]) == 3
    alone = run(*call)
    assert (alone.code, alone.out) == (2, "")
    assert (
        "--rule 'bolt' chooses frames by their similarity to the question" in alone.err
    )
    outcome = run("frames", clip, "What?", "--budget", 3, "--model", "nano", "--json")
    assert outcome.document["scorer"] == "nano"
    outcome = run("frames", clip, "What?", "--scorer", tmp_path / "none")
    assert outcome.code == 1
    assert "could not be loaded" in outcome.err


def test_a_scorer_that_was_downloaded_looks_by_itself(run, clip, tmp_path, hub):
    folder = save_tiny_clip(tmp_path)
    hub.name = RECOMMENDED_SCORER
    hub.files = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert run("download", "--scorer").code == 0
    call = ("frames", clip, "what", "--budget", 3, "--json")
    outcome = run(*call)
    found = find_downloaded(RECOMMENDED_SCORER)
    assert outcome.document["scorer"] == str(found)
    assert outcome.err_lines == [
        f"Scorer: {RECOMMENDED_SCORER}, as it was downloaded; --scorer none leaves it out"
    ]
    assert outcome.document == run(*call, "--scorer", found).document
    without = run(*call, "--scorer", "none")
    assert without.document["scorer"] is None
    assert "No scorer looked at the question" in without.err


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("--budget", 0), 2, "0 is not a count of 1 or more"),
        (("--budget", 49), 1, "49 frames is more than the 48 that clip.mp4 shows"),
        (("--budget", 4, "--cones", 5), 1, "Cones must be from 0 to the budget of 4"),
        (("--budget", 40, "--fast"), 1, "key frames that clip.mp4 has for it; ask"),
        (("--cones", -1), 2, "-1 is below 0"),
        (("--scorer", "a", "--model", "b"), 2, "--scorer and --model say the same"),
        (("--request", "r.json"), 2, "--request and --served-model go together"),
        (("--request", "-", "--served-model", "m", "--json"), 2, "both want standard"),
        (("--request", "no/r.json", "--served-model", "m"), 1, "cannot be written to"),
        (("--layout", "tiles"), 2, "'tiles' is not one of"),
        (
            ("--rule", "magic"),
            2,
            "--rule must be one of air, aks, bolt, date, dcode, e",
        ),
        (("--rule", "none"), 2, "uniform, got 'none'"),
    ],
)
def test_wrong_calls_are_one_line(run, clip, arguments, code, expected):
    outcome = run("frames", clip, "What?", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    (line,) = outcome.err_lines
    assert expected in line


def test_the_answer_of_a_server_that_sees_frames_is_streamed(
    run, models, clip, stand_in, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    stand_in.key = KEY
    stand_in.check = read_request
    stand_in.answer = lambda body: iter([" It ", "moves", " right. "])
    outcome = run("ask", clip, QUESTION, *server_of(stand_in, "--budget", 6))
    assert (outcome.code, outcome.out) == (0, "It moves right.\n"), outcome.err
    assert "video tokens, 6 frames (4 Cones, 2 Rods), " in outcome.err_lines[-1]
    (body,) = stand_in.bodies
    assert (body["model"], body["max_tokens"], body["stream"]) == ("eyes", 512, True)
    assert read_request(body).texts[-1] == QUESTION
    assert KEY not in json.dumps(body) + outcome.out + outcome.err
    assert models == []
    assert stand_in.paths == ["/v1/chat/completions"]


def test_json_tells_what_was_sent_and_what_came(run, clip, stand_in):
    stand_in.check = read_request
    stand_in.log_probability = -0.25
    call = server_of(stand_in, "--json", "--layout", "video", "--max-new-tokens", 5)
    outcome = run("ask", clip, "-", *call, "--budget", 3, stdin="  Why?\n")
    document = outcome.document
    assert document["text"] == "an answer"
    assert document["question"] == "Why?"
    assert (document["backend"], document["url"]) == ("openai", stand_in.url)
    assert (document["model"], document["scorer"]) == ("eyes", None)
    assert document["tokens"] == sum(frame["tokens"] for frame in document["frames"])
    assert [frame["kind"] for frame in document["frames"]] == ["cone"] * 3
    seen = read_request(stand_in.bodies[0])
    assert seen.times == [pytest.approx(frame["time"]) for frame in document["frames"]]
    assert stand_in.bodies[0]["max_tokens"] == 5
    assert document["confidence"] == pytest.approx(0.7788, abs=1e-4)
    assert document["best_time"] is None  # no scorer looked at the question


def test_several_videos_go_behind_their_numbers(run, models, clip, stand_in, tmp_path):
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    stand_in.check = read_request
    call = server_of(stand_in, "--budget", 9, "--cones", 3, "--json")
    outcome = run("ask", clip, "--also", other, QUESTION, *call)
    assert outcome.code == 0, outcome.err
    document = outcome.document
    assert document["video"] == [str(clip), str(other)]
    assert [frame["video"] for frame in document["frames"]] == [0] * 5 + [1] * 4
    kinds = [(f["video"], f["kind"]) for f in document["frames"]]
    assert (kinds.count((0, "cone")), kinds.count((1, "cone"))) == (2, 1)
    assert document["best_time"] is None
    seen = read_request(stand_in.bodies[0])
    starts = [text.split(" frames of")[0] for text in seen.texts if "frames of" in text]
    assert starts == ["Video 1: 5", "Video 2: 4"]
    assert seen.texts[-1] == QUESTION
    assert seen.texts.count(QUESTION) == 1
    wrong = run("ask", clip, "--also", other, QUESTION, *call, "--layout", "video")
    assert wrong.code == 2
    assert "--layout video sends one video, since vLLM takes the times of" in wrong.err
    few = run(
        "ask", clip, "--also", other, QUESTION, *server_of(stand_in), "--budget", 1
    )
    assert few.code == 2
    assert not stand_in.bodies[1:]
    assert "--budget must be at least 2, the least of 2 videos, got 1" in few.err


def test_frames_go_as_sheets_to_a_server_that_takes_no_times(run, clip, stand_in):
    def refuse_times(body):
        read_request(body)
        if "media_io_kwargs" in body:
            raise RefusedRequestError(
                "Per-request media_io_kwargs are not allowed; start the server with "
                "--trust-request-mm-kwargs"
            )

    stand_in.check = refuse_times
    call = server_of(stand_in, "--json", "--layout", "video", "--budget", 3)
    outcome = run("ask", clip, QUESTION, *call)
    assert outcome.code == 0
    assert outcome.document["text"] == "an answer"
    (warning,) = [x for x in outcome.err_lines if x.startswith("dynfocus: ")]
    assert "start vLLM with --trust-request-mm-kwargs" in warning
    assert warning.endswith("; they are sent as sheets")
    assert ["media_io_kwargs" in body for body in stand_in.bodies] == [True, False]


def test_a_whole_file_goes_to_a_server_that_chooses(run, clip, stand_in):
    call = server_of(stand_in, "--json", "--layout", "file", "--budget", 3)
    outcome = run("ask", clip, QUESTION, *call, "--start", 2)
    assert outcome.code == 0
    document = outcome.document
    assert (document["text"], document["frames"]) == ("an answer", [])
    (body,) = stand_in.bodies
    (message,) = body["messages"]
    video, text = message["content"]
    head, _, data = video["video_url"]["url"].partition(",")
    assert head == "data:video/mp4;base64"
    assert base64.b64decode(data) == clip.read_bytes()
    assert text == {"type": "text", "text": QUESTION}
    assert body["media_io_kwargs"]["video"] == {
        "video_backend": "dynfocus",
        "question": QUESTION,
        "num_frames": 3,
        "start": 2.0,
        "end": 6.0,
    }
    twice = run("ask", clip, QUESTION, *call, "--also", clip)
    assert (twice.code, "layout file sends one video" in twice.err) == (2, True)
    again = run("ask", clip, QUESTION, *call, "--method", "slowfocus")
    assert (again.code, "goes without method" in again.err) == (2, True)
    local = run("frames", clip, QUESTION, "--layout", "file")
    assert (local.code, "the server chooses the frames" in local.err) == (2, True)


def test_an_answer_that_was_cut_is_said_to_be(run, clip, stand_in):
    stand_in.finish_reason = "length"
    outcome = run("ask", clip, "Why?", *server_of(stand_in))
    assert (outcome.code, outcome.out) == (0, "an answer\n")
    assert "the answer was cut at 512 tokens; allow more with" in outcome.err


def test_a_server_that_breaks_off_fails_after_what_it_said(run, clip, stand_in):
    stand_in.finish_reason, stand_in.ends_with_done = None, False
    outcome = run("ask", clip, "Why?", *server_of(stand_in))
    assert (outcome.code, outcome.out) == (1, "an answer\n")
    assert "broke the answer off after 9 characters" in outcome.err_lines[-1]
    stand_in.raw, stand_in.content_type = b"<html>", "text/html"
    outcome = run("ask", clip, "Why?", *server_of(stand_in, "--json"))
    assert (outcome.code, outcome.out) == (1, "")
    assert "answered with text/html" in outcome.err_lines[-1]


def test_silence_is_given_up_after_the_time_out(run, clip, stand_in):
    stand_in.silent_seconds = 1.0
    outcome = run("ask", clip, "Why?", *server_of(stand_in, "--timeout", 0.2))
    assert outcome.code == 1
    assert "was silent for 0.2 s" in outcome.err_lines[-1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--backend", "openai", "--url", "http://h"), "needs --model, the name of"),
        (("--backend", "openai", "--model", "m"), "--backend openai needs --url"),
        (("--budget", 4), "--budget means nothing without --backend"),
        (("--layout", "video"), "--layout means nothing without --backend"),
        (
            ("--backend", "vllm", "--url", "http://h", "--scorer", "x"),
            "--scorer means nothing with --backend vllm",
        ),
        (
            (
                "--backend",
                "openai",
                "--url",
                "http://h",
                "-m",
                "m",
                "--report",
                "r.html",
            ),
            "--report means nothing with --backend openai",
        ),
        (
            ("--backend", "openai", "--url", "http://h", "-m", "m", "--budget", 0),
            "0 is not a count",
        ),
    ],
)
def test_options_of_another_backend_are_a_wrong_call(run, clip, arguments, expected):
    outcome = run("ask", clip, "What?", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err_lines
    assert expected in line


def test_a_conversation_sends_chosen_frames_and_earlier_turns(
    run, models, clip, stand_in
):
    call = server_of(stand_in, "--budget", 3, "--scorer", "none")
    outcome = run("chat", clip, *call, stdin="Who comes in?\nWhat then?\n")
    assert (outcome.code, outcome.out) == (0, "an answer\nan answer\n"), outcome.err
    first, second = stand_in.bodies
    assert (first["max_tokens"], second["max_tokens"]) == (512, 512)
    assert [one["role"] for one in second["messages"]] == ["user", "assistant", "user"]
    assert second["messages"][1]["content"] == "an answer"
    assert second["messages"][2]["content"][-1]["text"] == "What then?"
    assert outcome.err.count("3 frames") == 2
    assert models == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("--method", "slowfocus"), "answers single questions: use dynfocus ask"),
        (("--max-frames", 3), "--max-frames means nothing with --backend openai"),
    ],
)
def test_what_a_conversation_through_frames_cannot_do_is_a_wrong_call(
    run, clip, stand_in, more, expected
):
    outcome = run("chat", clip, *server_of(stand_in, *more), stdin="What?\n")
    assert (outcome.code, stand_in.bodies) == (2, [])
    assert expected in outcome.err
