"""Questions asked at once get the answers that they get one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import dynfocus
from dynfocus.index import IndexStore
from dynfocus.models import AskOptions, VideoModel
from dynfocus.models.conversation import OnText, PreparedTurn
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.generation import Generator, Written
from dynfocus.world import make_video

NUM_THREADS = 6


def asked_at_once(ask: Callable[[Any], Any], given: Sequence[Any]) -> list[Any]:
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        return list(pool.map(ask, given))


@pytest.fixture(scope="module")
def nano() -> VideoModel:
    return dynfocus.load("nano", device="cpu", index_folder=False)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory) -> list:
    folder = tmp_path_factory.mktemp("worlds")
    return [make_video(folder / f"{n}.mp4", 15 + n, seed=n) for n in range(3)]


def test_questions_about_several_videos_at_once(nano, worlds):
    indexes = [nano.index(world.path) for world in worlds]
    pairs = [
        (index, question.question)
        for index, world in zip(indexes, worlds, strict=True)
        for question in world.questions[:8]
    ]

    def ask(pair: Any) -> Any:
        answer = nano.ask(*pair)
        return answer.text, answer.frames

    alone = [ask(pair) for pair in pairs]
    assert len({text for text, _ in alone}) > 5
    assert asked_at_once(ask, pairs) == alone


def test_files_read_at_once_into_one_index(nano, worlds, tmp_path):
    store = IndexStore(tmp_path / "index")
    model = VideoModel(FeatureBackbone(nano.model, nano.processor, "nano", store))
    question = "What letter is shown?"
    paths = [world.path for world in worlds] * 4

    def ask(path: Any) -> Any:
        answer = model.ask(path, question)
        return answer.text, answer.frames

    wanted = [nano.ask(path, question) for path in paths]
    assert asked_at_once(ask, paths) == [(one.text, one.frames) for one in wanted]
    assert len(store.entries()) == len(worlds)


class LooksWhereAsked:
    """Find in the first pass the moment that the question names; then really answer."""

    marks = ()

    def __init__(self, real: Generator) -> None:
        self.real = real

    def generate(
        self, turn: PreparedTurn, options: AskOptions, on_text: OnText | None = None
    ) -> Written:
        if "when" not in turn.question.lower():
            return self.real.generate(turn, options, on_text)
        (moment,) = set(re.findall(r"From \d+ to \d+", turn.question))
        return Written(moment, 0.5)


def test_a_slowfocus_looks_again_for_many_at_once(
    make_slow_model, make_slow_processor, clip
):
    backbone = FeatureBackbone(make_slow_model(), make_slow_processor(), "slow")
    plain = VideoModel(backbone)
    model = plain.with_generator(LooksWhereAsked(plain.generator))
    questions = [
        f"From {a} to {a + 150 + 10 * n}. which {word} ?"
        for n, word in enumerate(("letter", "square", "circle"))
        for a in range(100, 700, 150)
    ]

    def ask(question: str) -> Any:
        answer = model.ask(clip, question, method="slowfocus", max_new_tokens=4)
        return answer.text, answer.frames, answer.looks.intervals

    alone = [ask(question) for question in questions]
    assert len({str(intervals) for _, _, intervals in alone}) == len(questions)
    assert len({text for text, _, _ in alone}) > 1
    assert asked_at_once(ask, questions) == alone


def test_sessions_watched_and_asked_at_once(focused, make_frames):
    def watch(seed: int) -> Any:
        session = focused.session(max_frames=16, keeps_turns=True, window=4)
        answers = []
        for part in make_frames(24, seed=seed).reshape(4, 6, 28, 28, 3):
            session.push(part)
            answer = session.ask("what is on the red square ?", max_new_tokens=3)
            answers.append((answer.text, answer.frames))
        return answers

    seeds = list(range(8))
    assert asked_at_once(watch, seeds) == [watch(seed) for seed in seeds]
