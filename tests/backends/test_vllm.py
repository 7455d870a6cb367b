"""Prompt embeddings: the request, checked as vLLM would, and the answer to it."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch

import dynfocus
from dynfocus.backends import (
    BackendError,
    ChatClient,
    OtherPromptWarning,
    Server,
    VllmGenerator,
    encode_embeds,
)
from dynfocus.conversion import export_language_model
from dynfocus.models import AskOptions, VideoModel
from dynfocus.world import make_video
from served_language_model import ServedLanguageModel
from stand_in_server import StandInServer


@pytest.fixture(scope="module")
def nano() -> VideoModel:
    return dynfocus.load("nano")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("world") / "video.mp4", 20, seed=3)


@pytest.fixture(scope="module")
def folder(nano, tmp_path_factory):
    return export_language_model(nano, tmp_path_factory.mktemp("served") / "language")


@pytest.fixture(params=["openai", "string"])
def served(request, folder, stand_in) -> ServedLanguageModel:
    """Serve the language model, whichever form the server gives its template."""
    language = ServedLanguageModel(folder, request.param)
    stand_in.check, stand_in.answer = language.check, language.answer
    return language


def served_by(nano: VideoModel, stand_in: StandInServer) -> VideoModel:
    client = ChatClient(Server(url=stand_in.url))
    return nano.with_generator(VllmGenerator(nano, client))


def test_the_server_answers_as_we_do(nano, world, served, stand_in, monkeypatch):
    monkeypatch.setattr(nano.processor, "single_turn", False)
    index = nano.index(world.path)
    session = served_by(nano, stand_in).chat(index)
    local = nano.chat(index)
    texts = []
    for asked in (world.questions[0], world.questions[1], world.questions[-1]):
        pieces: list[str] = []
        answer = session.ask(asked.question, on_text=pieces.append)
        ours = local.ask(asked.question)
        assert answer.text == ours.text == "".join(pieces)
        assert (answer.tokens, answer.frames) == (ours.tokens, ours.frames)
        texts.append(answer.text)
    assert len(set(texts)) > 1
    assert session.turns == local.turns
    assert [len(body["messages"]) for body in stand_in.bodies] == [1, 3, 5]


@pytest.mark.parametrize("question_first", [True, False])
def test_the_request_is_the_prompt(
    nano, world, served, stand_in, question_first, monkeypatch
):
    monkeypatch.setattr(nano.processor, "question_first", question_first)
    index = nano.index(world.path)
    question = world.questions[0].question
    options = AskOptions(max_video_tokens=300, max_new_tokens=7)
    turn = nano.prepare(index, question, options)
    served_by(nano, stand_in).answer(index, question, options)
    (body,) = stand_in.bodies
    (message,) = body.pop("messages")
    assert body == {
        "model": "served",
        "max_tokens": 7,
        "temperature": 0.0,
        "logprobs": True,
        "logit_bias": {"3": -100},
        "stream_options": {"include_usage": True},
        "stream": True,
    }
    part, words = message["content"]
    assert message["role"] == "user"
    assert words == {"type": "text", "text": question}
    (sent,) = served.embeds
    assert part == {"type": "prompt_embeds", "data": encode_embeds(sent)}
    lead = turn.num_lead_in
    assert (lead > 0) == question_first
    video_tokens = turn.embeds[turn.is_visual]
    assert torch.equal(sent[lead:], video_tokens)
    (prompt,) = served.prompts
    mark = served.mark_id
    ours = turn.input_ids[0].tolist()
    first = prompt.index(mark)
    assert prompt.count(mark) == lead + len(video_tokens)
    assert prompt[:first] == ours[:first]
    assert prompt[first + prompt.count(mark) :] == ours[first + prompt.count(mark) :]


def test_nothing_but_the_embeddings_is_saved():
    whole = torch.randn(1000, 64)
    for part in (whole[10:20], whole[10:20].to(torch.bfloat16)):
        content = base64.b64decode(encode_embeds(part))
        assert len(content) < part.element_size() * part.numel() + 2000
        assert torch.equal(torch.load(io.BytesIO(content), weights_only=True), part)


def test_a_server_with_another_template_is_noticed(nano, world, served, stand_in):
    index = nano.index(world.path)
    question = world.questions[0].question
    length = nano.prepare(index, question, AskOptions()).input_ids.shape[1]
    stand_in.prompt_tokens = length
    model = served_by(nano, stand_in)
    model.ask(index, question)
    stand_in.prompt_tokens = length + 2
    with pytest.warns(OtherPromptWarning, match=f"read {length + 2} tokens where the"):
        model.ask(index, question)


def test_another_language_model_is_refused_by_the_server(
    nano, world, served, stand_in, monkeypatch
):
    index = nano.index(world.path)
    monkeypatch.setattr(served.model.config, "hidden_size", 4096)
    with pytest.raises(BackendError, match="192 does not match the model's hidden"):
        served_by(nano, stand_in).ask(index, "What is shown?")


def test_the_model_must_be_named_where_there_are_several(nano, stand_in):
    stand_in.models = ("one", "two")
    with pytest.raises(ValueError, match=r"2 models \(one, two\); say which"):
        served_by(nano, stand_in)
    client = ChatClient(Server(url=stand_in.url))
    assert VllmGenerator(nano, client, served_model="two").served_model == "two"


@pytest.mark.filterwarnings("ignore::dynfocus.errors.UnknownWorldWarning")
def test_words_that_hold_the_place_of_embeddings_are_refused(nano, stand_in):
    index = nano.index(np.zeros((2, 112, 112, 3), np.uint8))
    with pytest.raises(ValueError, match="must not contain <prompt_embeds>"):
        served_by(nano, stand_in).ask(index, "a <prompt_embeds>?")
    assert stand_in.bodies == []
