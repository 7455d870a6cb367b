"""Where the user stands: a conversation with a model that learned single questions."""

from __future__ import annotations

import warnings

import pytest

import dynfocus
from dynfocus.errors import ForgottenTurnsWarning
from dynfocus.models.conversation import Turn
from dynfocus.world import make_video


@pytest.fixture(scope="module")
def model():
    return dynfocus.load("nano", device="cpu", index_folder=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    path = tmp_path_factory.mktemp("world") / "video.mp4"
    return make_video(path, duration=60, seed=3)


def test_a_late_question_is_answered_as_if_it_were_the_first(model, world):
    index = model.index(world.path)
    chat = model.chat(index)
    asked = [question.question for question in world.questions[:16]]
    assert len(asked) == 16
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        answers = [chat.ask(question) for question in asked]
    assert [one.text for one in answers] == [model.ask(index, q).text for q in asked]
    assert [one.category for one in told] == [ForgottenTurnsWarning]
    assert "nano was trained on single questions" in str(told[0].message)
    assert chat.turns == [Turn(q, a.text) for q, a in zip(asked, answers, strict=True)]


def test_a_model_that_learned_conversations_keeps_its_turns(model, world, monkeypatch):
    index = model.index(world.path)
    first, second = (question.question for question in world.questions[:2])
    alone = model.prepare(index, second, _options(model)).input_ids.shape[1]
    monkeypatch.setattr(model.processor, "single_turn", False)
    lengths: list[int] = []
    prepare = model.backbone.prepare

    def count(*arguments):
        turn = prepare(*arguments)
        lengths.append(turn.input_ids.shape[1])
        return turn

    monkeypatch.setattr(model.backbone, "prepare", count)
    chat = model.chat(index)
    chat.ask(first)
    chat.ask(second)
    assert lengths[1] > alone


def _options(model):
    return model._options({})
