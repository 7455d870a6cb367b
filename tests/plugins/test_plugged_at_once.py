"""Questions asked at once get the answers that they get one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from tiny_hosts import BUILDERS

from dynfocus.methods import DualEncoder
from dynfocus.models import AskOptions
from tiny_clip import save_tiny_clip

WORDS = ("red", "blue", "green", "square", "circle", "letter")
NUM_THREADS = 6


def asked_at_once(ask: Callable[[Any], Any], given: Sequence[Any]) -> list[Any]:
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        return list(pool.map(ask, given))


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_questions_about_several_videos_at_once(plugged, make_frames, name):
    model = plugged(name, max_video_tokens=60)
    videos = [model.index(make_frames(6, seed=seed)) for seed in range(4)]
    pairs = [(v, f"what is on the {word} ?") for word in WORDS for v in videos]

    def logits(pair: Any) -> bytes:
        turn = model.prepare(*pair, AskOptions())
        options = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None}
        options |= {"output_logits": True, "return_dict_in_generate": True}
        output = model.backbone.run(turn, **options)
        return torch.cat(output.logits).numpy().tobytes()

    def ask(pair: Any) -> Any:
        answer = model.ask(*pair, max_new_tokens=4)
        return answer.text, answer.frames

    alone = [logits(pair) for pair in pairs]
    assert len(set(alone)) == len(pairs)
    assert asked_at_once(logits, pairs) == alone
    assert asked_at_once(ask, pairs) == [ask(pair) for pair in pairs]


@pytest.mark.parametrize("name", ["qwen3_vl", "internvl"])
def test_videos_encoded_at_once(plugged, make_frames, name):
    model = plugged(name, max_video_tokens=60)
    videos = [make_frames(6 + seed, seed=seed) for seed in range(8)]

    def ask(frames: Any) -> Any:
        answer = model.ask(frames, "what is red ?", max_new_tokens=4)
        return answer.text, answer.frames

    assert asked_at_once(ask, videos) == [ask(frames) for frames in videos]


def test_a_scorer_compares_at_once(plugged, make_frames, tmp_path):
    scorer = DualEncoder(str(save_tiny_clip(tmp_path)))
    model = plugged(max_video_tokens=40, scorer=scorer)
    video = model.index(make_frames(8))
    questions = [f"{word} {other} ?" for word in WORDS for other in WORDS]
    many = asked_at_once(lambda q: model.score_frames(video, q), questions)
    assert many == [model.score_frames(video, question) for question in questions]


@pytest.mark.parametrize("name", ["llava_onevision", "qwen3_vl"])
def test_a_host_that_scores_itself_is_asked_at_once(plugged, make_frames, name):
    model = plugged(name, max_video_tokens=40, scorer="host")
    videos = [model.index(make_frames(6, seed=seed)) for seed in range(3)]
    pairs = [(v, f"what is on the {word} ?") for word in WORDS for v in videos]
    alone = [model.score_frames(*pair) for pair in pairs]
    assert asked_at_once(lambda pair: model.score_frames(*pair), pairs) == alone


def test_videos_that_come_at_once_are_kept_apart(plugged, make_frames):
    model = plugged("qwen3_vl", max_video_tokens=60)

    def watch(seed: int) -> Any:
        session = model.session(max_frames=8, window=3)
        for frame in make_frames(11, seed=seed):
            session.push(frame)
        answer = session.ask("what is red ?", max_new_tokens=3)
        return answer.text, answer.frames

    seeds = list(range(NUM_THREADS))
    assert asked_at_once(watch, seeds) == [watch(seed) for seed in seeds]
