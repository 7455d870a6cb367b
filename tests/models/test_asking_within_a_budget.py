"""Where the user stands: what a token budget does to an answer of the shipped model."""

from __future__ import annotations

import pytest

import dynfocus
from dynfocus.models.conversation import Answer
from dynfocus.world import make_video

LOOSE = 100_000
TIGHT = 190


@pytest.fixture(scope="module")
def model():
    return dynfocus.load("nano", device="cpu", index_folder=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Write a FocusWorld video of more frames than the model reads."""
    path = tmp_path_factory.mktemp("world") / "video.mp4"
    return make_video(path, duration=200, seed=3)


@pytest.fixture(scope="module")
def index(model, world):
    index = model.index(world.path)
    assert index.num_frames > model.model.settings.max_read_frames
    return index


def ways_to_ask(model, index, question: str, budget: int | None) -> list[Answer]:
    named = {"max_new_tokens": 8}
    return [
        model.ask(index, question, max_video_tokens=budget, **named),
        model.chat(index, max_video_tokens=budget).ask(question, **named),
    ]


def needles(world) -> list:
    found = [q for q in world.questions if q.kind == "needle" and len(q.evidence) <= 2]
    assert found
    return found


def count_evidence(frames, evidence) -> int:
    return sum(any(a <= f.time < b for a, b in evidence) for f in frames)


def test_a_budget_that_does_not_bind_changes_nothing(model, index, world):
    for question in needles(world):
        plain = model.ask(index, question.question, max_new_tokens=8)
        assert len(plain.frames) == model.model.settings.max_read_frames
        asked = ways_to_ask(model, index, question.question, LOOSE)
        exact = ways_to_ask(model, index, question.question, plain.tokens)
        for answer in (*asked, *exact):
            assert answer.frames == plain.frames
            assert answer.text == plain.text
        scored = model.score_frames(index, question.question, max_video_tokens=LOOSE)
        assert scored == plain.frames


def test_a_budget_that_binds_keeps_the_frames_that_show_the_answer(model, index, world):
    all_kept, all_shown = 0, 0
    for question in needles(world):
        shown = sum(
            a <= t < b
            for t in index.features.pts_seconds.tolist()
            for a, b in question.evidence
        )
        for answer in ways_to_ask(model, index, question.question, TIGHT):
            assert answer.tokens <= TIGHT
            share = len(answer.frames) / index.num_frames
            assert share < 0.5
            kept = count_evidence(answer.frames, question.evidence)
            assert kept > share * shown
            assert answer.text == question.answer
            all_kept, all_shown = all_kept + kept, all_shown + shown
    assert all_kept > 0.8 * all_shown


def test_a_budget_means_the_same_for_a_file_and_for_its_index(model, index, world):
    question = needles(world)[0].question
    for budget in (TIGHT, LOOSE):
        read = model.ask(world.path, question, max_video_tokens=budget)
        indexed = model.ask(index, question, max_video_tokens=budget)
        assert read.frames == indexed.frames
        assert read.text == indexed.text
