"""SlowFocus through a chat server: two requests, the second with the dense frames."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dynfocus.backends import BackendError, ChatClient, Server, ask_again
from dynfocus.cli import main
from dynfocus.errors import OtherLayoutWarning
from dynfocus.methods import FrameScorer
from dynfocus.video import VideoWriter
from seen_request import read_request
from stand_in_server import RefusedRequestError

QUESTION = "Which colour is the square?"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten seconds at 8 frames a second; the red of a frame tells its time."""
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, fps=8, size=(64, 96)) as writer:
        for number in range(80):
            writer.write(np.full((64, 96, 3), (3 * number, 60, 60), np.uint8))
    return path


class RedScorer(FrameScorer):
    """Rate frames by how red they are."""

    name = "red"

    def size(self, own):
        return own

    def encode_frames(self, frames):
        return frames.mean((1, 2)).astype(np.float32)

    def encode_text(self, text):
        return np.array([1.0, 0.0, 0.0], np.float32)


@pytest.fixture
def replies(stand_in):
    """Let the server check requests, and say what a test puts here."""
    said: list[str] = []
    stand_in.seen = []
    stand_in.check = lambda body: stand_in.seen.append(read_request(body))
    stand_in.answer = lambda body: iter([said.pop(0)])
    return said


@pytest.fixture
def client(stand_in) -> ChatClient:
    return ChatClient(Server(url=stand_in.url))


@pytest.mark.parametrize("layout", ["sheets", "images"])
def test_two_requests_are_sent_the_second_with_dense_frames(
    client, stand_in, replies, clip, layout
):
    replies += ["From 0:04 to 0:05.", "It is red."]
    pieces: list[str] = []
    found = ask_again(clip, QUESTION, client, "m", layout=layout, on_text=pieces.append)
    assert found.completion.text == "It is red."
    assert pieces == ["It is red."]
    assert found.looks.intervals == [(4.0, 5.0)]
    assert found.looks.replies == ["From 0:04 to 0:05."]
    first, second = stand_in.seen
    assert QUESTION in first.texts[-1]
    assert "in seconds between 0 and 10" in first.texts[-1]
    assert second.texts[-1].endswith(QUESTION)
    assert "from 4.0 s to 5.0 s" in second.texts[-1]
    assert len(stand_in.bodies) == 2
    large = [one for one in second.pictures if one.shape[:2] == (64, 96)]
    if layout == "sheets":
        assert len(first.pictures) == 1
        reds = [float(picture[..., 0].mean()) for picture in large]
        assert len(large) == 6
        assert reds == sorted(reds)
        assert all(95 < red < 120 for red in reds)  # of the frames from 4 to 5 s
    sent = sum(frame.tokens for frame in found.frames)
    assert sent == 16
    assert [frame.kind for frame in found.frames].count("high") == 6


@pytest.mark.parametrize("budget", range(1, 12))
def test_the_budget_holds_for_all_requests(client, stand_in, replies, clip, budget):
    replies += ["4 to 6 s", "red", "red"]
    found = ask_again(clip, QUESTION, client, "m", budget=budget, layout="images")
    sent = sum(request.num_pictures for request in found.requests)
    assert sent == sum(len(seen.pictures) for seen in stand_in.seen) <= budget
    if budget < 6:
        assert "too small for two frequencies" in found.looks.note
        assert len(found.requests) == 1
    else:
        assert found.looks.intervals == [(4.0, 6.0)]


def test_without_an_interval_the_second_request_is_the_plain_one(
    client, stand_in, replies, clip
):
    replies += ["I cannot tell.", "red"]
    found = ask_again(clip, QUESTION, client, "m")
    assert found.looks.note.startswith("The model named no interval")
    assert stand_in.seen[1].texts[-1] == QUESTION
    assert {frame.kind for frame in found.frames} >= {"cone", "low"}


def test_a_question_with_times_takes_one_request(client, stand_in, replies, clip):
    replies += ["red"]
    question = "Which colour is the square between 2 s and 3 s?"
    found = ask_again(clip, question, client, "m")
    assert len(stand_in.seen) == 1
    assert found.looks.intervals == [(2.0, 3.0)]
    assert stand_in.seen[0].texts[-1] == question


def test_a_scorer_says_where_a_server_is_shown_more(client, stand_in, replies, clip):
    replies += ["red"]
    found = ask_again(
        clip, QUESTION, client, "m", method="slow-dynfocus", scorer=RedScorer()
    )
    assert len(stand_in.seen) == 1
    (interval,) = found.looks.intervals  # the red of a frame grows
    assert interval[0] > 4
    assert interval[1] == 10.0
    dense = [frame.time for frame in found.frames if frame.kind == "high"]
    assert len(dense) == 8
    assert min(dense) >= interval[0]
    assert len(found.frames) <= 16


def test_a_file_that_vanishes_is_answered_from_what_was_read(
    client, stand_in, replies, clip
):
    def answer(body):
        clip.unlink(missing_ok=True)
        return iter([["4 to 6 s", "red"][len(stand_in.bodies) - 1]])

    stand_in.answer = answer
    found = ask_again(clip, QUESTION, client, "m", max_new_tokens=99)
    assert found.completion.text == "red"
    assert "clip.mp4 is not there any more" in found.looks.note
    first, second = stand_in.seen
    assert len(first.pictures) == len(second.pictures)
    assert second.texts[-1] == QUESTION
    assert stand_in.bodies[1]["max_tokens"] == 99


def test_a_server_that_takes_no_times_gets_sheets(client, stand_in, replies, clip):
    replies += ["4 to 6 s", "red"]
    check = stand_in.check

    def refuse(body):
        if "media_io_kwargs" in body:
            raise RefusedRequestError("use --trust-request-mm-kwargs")
        check(body)

    stand_in.check = refuse
    with pytest.warns(
        OtherLayoutWarning, match="--trust-request-mm-kwargs.* as sheets"
    ):
        ask_again(clip, QUESTION, client, "m", layout="video")
    assert len(stand_in.bodies) == 3


def test_what_cannot_be_asked_is_one_sentence(client, stand_in, replies, clip):
    with pytest.raises(
        ValueError, match="method must be one of .*slowfocus.*, got 'a'"
    ):
        ask_again(clip, QUESTION, client, "m", method="a")
    with pytest.raises(ValueError, match="the question is empty"):
        ask_again(clip, " ", client, "m")
    with pytest.raises(ValueError, match="at least 1 frame, got 0"):
        ask_again(clip, QUESTION, client, "m", budget=0)
    stand_in.raw, stand_in.status = b"{}", 500
    with pytest.raises(BackendError):
        ask_again(clip, QUESTION, client, "m")


def test_the_command_asks_a_server_twice(stand_in, replies, clip, capsys):
    call = ["ask", str(clip), QUESTION, "--backend", "openai", "--url", stand_in.url]
    call += ["--model", "m", "--method", "slowfocus", "--budget", "18"]
    replies += ["From 0:04 to 0:05.", "It is red."]
    assert main(call) == 0
    printed = capsys.readouterr()
    assert printed.out == "It is red.\n"
    assert "looked again from 4.0 to 5.0 s; " in printed.err
    assert "dense" in printed.err
    replies += ["From 0:04 to 0:05.", "It is red."]
    assert main([*call, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["looks"]["intervals"] == [[4, 5]]
    assert document["looks"]["replies"] == ["From 0:04 to 0:05."]
    assert {frame["kind"] for frame in document["frames"]} == {"low", "high"}
    assert document["tokens"] == sum(frame["tokens"] for frame in document["frames"])
    replies += ["No.", "It is red."]
    assert main(call) == 0
    assert "s. The model named no interval, so the answer took one pass." in (
        capsys.readouterr().err
    )
    assert main([*call[:-3], "magic"]) == 2
    assert "got 'magic'" in capsys.readouterr().err
    assert main([*call, "--also", str(clip)]) == 2
    assert "asked about one video, got 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "method",
    ["goldfish", "llovi", "love-r1", "slow-dynfocus", "spectemp", "tstar", "vital"],
)
def test_every_loop_asks_a_server_within_its_frames(
    client, stand_in, replies, clip, method
):
    said = [
        "From 0:02 to 0:06",
        "3 and 4",
        "Targets: 4.5",
        "ENOUGH",
        "Red.",
        "Red.",
        "Red.",
    ]
    replies += [*said, *["Red."] * 60]
    found = ask_again(clip, QUESTION, client, "m", method=method, budget=48)
    assert found.completion.text in said
    assert sum(frame.tokens for frame in found.frames) <= 48
    assert stand_in.seen[-1].texts[-1].endswith(QUESTION)
    assert len(found.requests) == len(found.looks.replies) + 1
    assert method != "llovi" or stand_in.seen[-1].texts == [
        found.requests[-1].body["messages"][0]["content"][0]["text"]
    ]
