from __future__ import annotations

import json

import numpy as np
import pytest

from dynfocus.backends import ChatClient, Server
from dynfocus.backends.frame_answers import FrameAnswerer
from dynfocus.backends.frame_budget import FrameBudget, FrameSizes
from dynfocus.cli import main
from dynfocus.errors import BackendError
from dynfocus.methods import load_scorer
from dynfocus.models.conversation import Turn
from dynfocus.video import SampledFrames, VideoWriter, read_image
from dynfocus.world import make_video
from word_scorer import WordScorer

QUESTION = "Who comes in?"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    make_video(path, 8, 1)
    return path


@pytest.fixture
def answerer(stand_in):
    client = ChatClient(Server(url=stand_in.url))
    return FrameAnswerer(client, "seer", budget=FrameBudget(num_frames=6))


def pictures(body):
    return [
        part
        for message in body["messages"]
        if not isinstance(message["content"], str)
        for part in message["content"]
        if part["type"] == "image_url"
    ]


def test_chosen_frames_are_sent_and_told(answerer, stand_in, clip):
    stand_in.prompt_tokens = 900
    pieces = []
    answer = answerer.ask(clip, QUESTION, on_text=pieces.append, stop=("\n",))
    assert answer.text == "".join(pieces) == "an answer"
    assert (answer.finish_reason, answer.prompt_tokens) == ("stop", 900)
    assert len(answer.frames) == 6
    assert answer.tokens == sum(frame.tokens for frame in answer.frames)
    (body,) = stand_in.bodies
    assert (body["model"], body["stop"]) == ("seer", ["\n"])
    num_cones = sum(frame.kind == "cone" for frame in answer.frames)
    assert len(pictures(body)) == num_cones + 1  # the Rods are on one sheet


def test_a_budget_of_tokens_bounds_the_frames(answerer, clip):
    cost = FrameSizes().cost((720, 1280), "cone")
    assert FrameBudget().count((720, 1280), cost) == 1
    assert FrameBudget().count((720, 1280), 9 * cost) > 9
    few = answerer.score_frames(clip, QUESTION, max_video_tokens=200)
    many = answerer.score_frames(clip, QUESTION, max_video_tokens=900)
    assert sum(frame.tokens for frame in few) <= 200
    assert len(few) < len(many)
    for bound in ("max_frames", "max_encoded_frames"):
        assert len(answerer.score_frames(clip, QUESTION, **{bound: 3})) == 3
    with pytest.raises(ValueError, match="max_video_tokens must be at least"):
        answerer.ask(clip, QUESTION, max_video_tokens=1)


def test_a_conversation_has_its_frames_once_and_its_turns_as_text(
    answerer, stand_in, clip
):
    chat = answerer.chat(clip, start=2.0, end=6.0)
    chat.turns.append(Turn("What is it?", "A room."))
    answer = chat.ask(QUESTION)
    assert all(2 <= frame.time < 6 for frame in answer.frames)
    (body,) = stand_in.bodies
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert body["messages"][-1]["content"][-1]["text"] == QUESTION
    assert pictures({"messages": body["messages"][:1]}) == pictures(body)
    assert [turn.question for turn in chat.turns] == ["What is it?", QUESTION]


def test_several_videos_share_the_budget(answerer, clip):
    answer = answerer.ask([clip, clip], QUESTION)
    assert {frame.video for frame in answer.frames} == {0, 1}
    assert len(answer.frames) == 6


def test_pictures_are_sent_whole_beside_the_frames(answerer, stand_in, clip):
    picture = read_image(np.full((60, 80, 3), 90, np.uint8))
    answer = answerer.ask([picture, clip, picture], QUESTION)
    told = [(frame.video, frame.kind) for frame in answer.frames]
    assert (told[0], told[-1], len(told)) == ((0, "cone"), (2, "cone"), 6)
    assert {place for place, _ in told[1:-1]} == {1}
    (body,) = stand_in.bodies
    content = body["messages"][0]["content"]
    assert [one["text"] for one in content[:4:2]] == ["Picture 1:", "Picture 2:"]
    assert content[-1]["text"] == QUESTION
    chat = answerer.chat(picture)
    chat.turns.append(Turn("What is it?", "A wall."))
    assert len(chat.ask("Which colour?").frames) == 1
    assert len(pictures(stand_in.bodies[-1])) == 1


def test_pictures_count_in_the_budget_and_are_not_looked_at_again(answerer, clip):
    picture = read_image(np.zeros((768, 768, 3), np.uint8))
    cost = FrameSizes().cost((768, 768), "cone")
    asked = [clip, picture]
    frames = answerer.score_frames(asked, QUESTION, max_video_tokens=cost + 300)
    assert cost < sum(frame.tokens for frame in frames) <= cost + 300
    for media in (asked, picture):
        with pytest.raises(ValueError, match="max_video_tokens must be at least"):
            answerer.ask(media, QUESTION, max_video_tokens=cost - 1)
    with pytest.raises(ValueError, match="looks again at a video, and this is"):
        answerer.ask(picture, QUESTION, method="slowfocus")
    two = SampledFrames(np.zeros((2, 8, 8, 3), np.uint8), np.arange(2.0))
    with pytest.raises(ValueError, match="got 2 frames; write them"):
        answerer.ask(two, QUESTION)


def test_the_best_of_several_videos_needs_a_scorer(stand_in, tmp_path):
    for place, name in enumerate(("red", "blue")):
        with VideoWriter(tmp_path / f"{name}.mp4", fps=4, size=(48, 64)) as writer:
            for number in range(16):
                picture = np.zeros((48, 64, 3), np.uint8)
                picture[..., 2 * place] = 200 * (number >= 12)
                writer.write(picture)
    client = ChatClient(Server(url=stand_in.url))
    budget = FrameBudget(num_frames=6)
    answerer = FrameAnswerer(client, "seer", scorer=WordScorer(), budget=budget)
    videos = [tmp_path / "red.mp4", tmp_path / "blue.mp4"]
    answer = answerer.ask(videos, "What is blue?")
    assert answer.best_video == 1
    assert answer.best_time >= 3
    blind = FrameAnswerer(client, "seer", budget=budget).ask(videos, "What is blue?")
    assert (blind.best_time, blind.best_video) == (None, None)


def test_a_method_that_looks_again_asks_in_passes(answerer, stand_in, clip):
    stand_in.answer = lambda body: iter(("from 0:02 to 0:04",))
    answer = answerer.ask(clip, QUESTION, method="slowfocus")
    assert len(stand_in.bodies) > 1
    assert answer.looks is not None
    assert answer.tokens == sum(frame.tokens for frame in answer.frames) > 0
    with pytest.raises(ValueError, match="asked about one video, got 2"):
        answerer.ask([clip, clip], QUESTION, method="slowfocus")


def test_what_is_asked_of_the_command_and_of_the_server_is_chosen_alike(
    answerer, stand_in, clip, capsys
):
    answerer.ask(clip, QUESTION)
    call = ["ask", str(clip), QUESTION, "What then?", "--backend", "openai", "--json"]
    call += ["--url", stand_in.url, "--model", "seer", "--budget", "6"]
    assert main([*call, "--max-new-tokens", "64"]) == 0
    first, second = json.loads(capsys.readouterr().out)["answers"]
    assert (first["question"], second["question"]) == (QUESTION, "What then?")
    assert stand_in.bodies[0] == stand_in.bodies[1] != stand_in.bodies[2]


def test_frames_that_made_room_for_words_are_not_told(stand_in, clip):
    clip.with_suffix(".srt").write_text(
        "1\n00:00:01,000 --> 00:00:04,000\nWho comes in at the door of the room\n"
    )
    client = ChatClient(Server(url=stand_in.url))
    reader = FrameAnswerer(client, "seer", scorer=load_scorer("text"))
    answer = reader.ask(clip, QUESTION)
    assert answer.word_tokens > 0
    assert len(answer.frames) < 16
    clip.with_suffix(".srt").unlink()


def test_what_cannot_be_followed_is_refused(answerer, stand_in, clip):
    with pytest.raises(ValueError, match="method must be one of"):
        answerer.ask(clip, QUESTION, method="bolt")
    with pytest.raises(ValueError, match="the question is empty"):
        answerer.ask(clip, " ")
    assert answerer.find_index(clip) is None
    assert answerer.store is None
    with pytest.raises(ValueError, match="has no index"):
        answerer.index(clip)
    stand_in.status, stand_in.raw = 500, b"{}"
    with pytest.raises(BackendError):
        answerer.ask(clip, QUESTION)
