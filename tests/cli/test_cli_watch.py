from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import av
import pytest

from dynfocus.models import load_model
from dynfocus.world import make_video


@pytest.fixture(scope="session")
def stream(tmp_path_factory) -> Path:
    """Five seconds of FocusWorld as a transport stream, as a camera would send it."""
    folder = tmp_path_factory.mktemp("streams")
    made = make_video(folder / "world.mp4", 5, seed=3, size=112)
    path = folder / "world.ts"
    with av.open(str(made.path)) as given, av.open(str(path), "w") as out:
        film = given.streams.video[0]
        copy = out.add_stream_from_template(film)
        for packet in given.demux(film):
            if packet.size:
                packet.stream = copy
                out.mux(packet)
    return path


def test_questions_are_asked_again_and_again_and_at_the_end(run, models, clip):
    outcome = run(
        "watch", clip, "-m", "other", "--ask", "What?", "--ask", "Who?", "--every", 4
    )
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "4.0\tWhat?\tseen: 4",
        "4.0\tWho?\tseen: 4",
        "6.0\tWhat?\tseen: 6",
        "6.0\tWho?\tseen: 6",
    ]
    assert outcome.err_lines[-1] == "Seen: 6.0 s in 6 frames, 6 held."


def test_a_video_that_does_not_fit_is_told(run, models, clip):
    outcome = run(
        "watch", clip, "-m", "other", "--ask", "What?", "--max-frames", 4, "--json"
    )
    (line,) = outcome.out.splitlines()
    assert json.loads(line) == {
        "seen_seconds": 6.0,
        "num_frames": 3,
        "stride": 2,
        "question": "What?",
        "text": "seen:\n6",
        "tokens": 6,
        "seconds": 0.25,
        "best_time": None,
        "confidence": None,
    }
    assert outcome.err_lines[-1] == "Seen: 6.0 s in 6 frames, 3 held, 1 in 2."


def test_questions_come_from_a_file_or_from_standard_input(run, models, clip, tmp_path):
    (tmp_path / "q.txt").write_text("What?\n\nWho?\n")
    outcome = run("watch", clip, "-m", "other", "--questions", "q.txt")
    assert [line.split("\t")[1] for line in outcome.out.splitlines()] == [
        "What?",
        "Who?",
    ]
    outcome = run(
        "watch", clip, "-m", "other", "--questions", "-", stdin="One?\n\nTwo?\n"
    )
    assert [line.split("\t")[1] for line in outcome.out.splitlines()] == [
        "One?",
        "Two?",
    ]
    assert outcome.err.count("Seen: ") == 2  # asked by the empty line, and at the end


def test_a_failed_question_does_not_end_the_watching(run, models, clip):
    outcome = run(
        "watch", clip, "-m", "other", "--ask", "this is too long", "--ask", "Who?"
    )
    assert outcome.code == 1
    assert outcome.out == "6.0\tWho?\tseen: 6\n"
    assert outcome.err_lines[0] == (
        "dynfocus: the prompt has too many tokens; ask for less"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-"], "nothing is asked: give --ask or --questions"),
        (["x", "--ask", ""], "the question is empty: say what to look for"),
        (["-", "--questions", "-"], "cannot both come on standard input"),
        (["x", "--questions", "-", "--every", "3"], "--every needs questions"),
        (["x", "--ask", "?", "--input-option", "a"], "'a' is not of the form NAME=VAL"),
        (["x", "--ask", "?", "--every", "0"], "0 is not a number above 0"),
    ],
)
def test_wrong_calls(run, models, words, message):
    outcome = run("watch", *words)
    assert outcome.code == 2
    assert message in outcome.err
    assert models == []


def test_sources_that_are_no_video_fail_in_one_sentence(run, models, tmp_path):
    outcome = run("watch", "no.ts", "--ask", "What?")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("dynfocus: no.ts: there is no such file")
    assert models == []
    (tmp_path / "text.ts").write_text("no video\n" * 100)
    outcome = run("watch", "text.ts", "-m", "other", "--ask", "What?")
    assert outcome.code == 1
    assert "FFmpeg cannot open this as a video" in outcome.err_lines[-1]


def test_a_pipe_is_answered_as_the_file(stream):
    question = "Which room is shown most of the time?"
    command = [sys.executable, "-m", "dynfocus", "watch", "-", "--json"]
    with stream.open("rb") as file:
        done = subprocess.run(
            [*command, "--ask", question, "--every", "2"],
            stdin=file,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["seen_seconds"] for line in told] == [2, 4, 5]
    offline = load_model().ask(stream, question)
    assert (told[-1]["text"], told[-1]["tokens"]) == (offline.text, offline.tokens)


def test_an_interrupt_ends_the_watching_and_says_what_was_seen(stream):
    command = [sys.executable, "-m", "dynfocus", "watch", "-", "--ask", "Which?"]
    process = subprocess.Popen(
        [*command, "--every", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # a shell's background job ignores interrupts, and so would its children
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    process.stdin.write(stream.read_bytes())
    process.stdin.flush()  # and the pipe stays open, as that of a camera would
    process.stdout.readline()
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.decode().splitlines()[-1].startswith("Seen: ")
