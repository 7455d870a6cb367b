"""Asking a plugged host: answers, indexes, conversations, errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tiny_hosts import BUILDERS

import dynfocus
from dynfocus.errors import NonFiniteLogitsError
from dynfocus.methods import SELECTORS
from dynfocus.models import AskOptions
from dynfocus.plugins import HostProcessor, plug
from word_scorer import WordScorer

QUESTION = "what is on the red square ?"
SOME = pytest.mark.parametrize("name", ["llava_onevision", "qwen2_5_vl"])


@SOME
def test_two_lines_answer_a_question_about_a_file(hosts, clip, name):
    host = hosts(name)
    focused = dynfocus.plug(host.model, host.processor, max_video_tokens=40)
    answer = focused.ask(clip, QUESTION, max_new_tokens=3)
    assert answer.tokens == 40
    assert answer.question == QUESTION
    times = [frame.time for frame in answer.frames]
    gap = 2.0 if name == "qwen2_5_vl" else 1.0
    assert times == pytest.approx(np.arange(0, 6, gap), abs=0.05)
    assert {frame.kind for frame in answer.frames} <= {"cone", "rod"}
    assert json.loads(json.dumps(answer.to_dict())) == answer.to_dict()
    assert answer.seconds > 0


@SOME
def test_answers_are_the_same_from_a_file_and_from_an_index(plugged, clip, name):
    focused = plugged(name, max_video_tokens=40)
    first = focused.ask(clip, QUESTION, max_new_tokens=3)
    index = focused.index(str(clip))
    again = focused.ask(index, QUESTION, max_new_tokens=3)
    assert (again.text, again.frames) == (first.text, first.frames)
    assert focused.index(index) is index
    assert focused.score_frames(index, QUESTION) == first.frames
    assert index.source == str(clip)
    assert index.duration == pytest.approx(6.0, abs=0.3)
    assert index.thumbnails.shape[0] == index.num_frames == len(first.frames)


def test_frames_that_a_budget_leaves_out_are_not_encoded(plugged, make_frames):
    focused = plugged(max_video_tokens=21)
    seen = []
    encode = focused.backbone.family.encode
    focused.backbone.family.encode = lambda pixels: (
        seen.append(len(pixels)) or encode(pixels)
    )
    answer = focused.ask(make_frames(30), QUESTION, max_new_tokens=2)
    assert sum(seen) == len(answer.frames) == 5  # half of 20 tokens, two each
    assert answer.tokens == 21
    assert [frame.time for frame in answer.frames] == [3.0, 9.0, 15.0, 21.0, 27.0]


@pytest.mark.parametrize("name", ["llava_onevision", "qwen3_vl"])
def test_a_tower_sees_no_more_frames_than_it_may(plugged, make_frames, clip, name):
    seen = []
    focused = plugged(name, max_video_tokens=2000)
    encode = focused.backbone.family.encode
    focused.backbone.family.encode = lambda pixels: (
        seen.append(len(pixels)) or encode(pixels)
    )
    asked = {"max_new_tokens": 2, "max_encoded_frames": 4}
    for video in (make_frames(30), clip):
        answer = focused.ask(video, QUESTION, **asked)
        assert sum(seen) == 4
        assert len(answer.frames) == 4 // focused.backbone.family.frames_per_step
        seen.clear()
        index = focused.index(video, max_encoded_frames=4)
        assert index.num_frames == len(answer.frames)
        seen.clear()
    scenes = {int(time) // 3 for time in index.features.pts_seconds.tolist()}
    assert len(scenes) > 1
    few = focused.ask(make_frames(30), QUESTION, **asked, max_video_tokens=6)
    assert few.tokens <= 6


def test_windows_change_nothing_but_memory(plugged, make_frames, monkeypatch):
    focused = plugged("qwen2_5_vl", max_video_tokens=50)
    frames = make_frames(9)
    whole = focused.index(frames)
    monkeypatch.setattr("dynfocus.plugins.host_backbone._WINDOW_FRAMES", 3)
    parts = focused.index(frames)
    torch.testing.assert_close(parts.features.tokens, whole.features.tokens)
    assert torch.equal(parts.features.frame_seconds, whole.features.frame_seconds)
    assert np.array_equal(parts.thumbnails, whole.thumbnails)


def test_a_method_and_a_budget_can_be_changed_for_a_question(plugged, make_frames):
    focused = plugged(max_video_tokens=40)
    video = focused.index(make_frames(8))
    assert focused.ask(video, QUESTION, max_video_tokens=33).tokens == 33
    uniform = focused.ask(video, QUESTION, method="uniform", max_new_tokens=2)
    assert uniform.tokens == 33  # two frames of 16 and the newline
    assert [frame.index for frame in uniform.frames] == [2, 6]
    everything = focused.ask(video, QUESTION, method="none", max_new_tokens=2)
    assert everything.tokens == 8 * 16 + 1
    few = focused.ask(video, QUESTION, method="none", max_frames=3, max_new_tokens=2)
    assert few.tokens == 3 * 16 + 1


def test_a_scorer_lets_the_question_choose(plugged, scorer):
    focused = plugged(max_video_tokens=41, cone_tokens="whole", scorer=scorer)
    frames = np.full((10, 28, 28, 3), 60, np.uint8)
    frames[3, 5:20, 5:20] = (250, 20, 20)
    frames[7, 5:20, 5:20] = (20, 20, 250)
    index = focused.index(frames)
    for word, place in (("red", 3), ("blue", 7)):
        answer = focused.ask(index, f"what is {word} ?", max_new_tokens=2)
        assert [f.index for f in answer.frames if f.tokens == 16] == [place]
    assert focused.scores_see_question
    assert not plugged().scores_see_question


@pytest.mark.parametrize("method", ["aks", "bolt"])
def test_a_rule_finds_the_frames_that_even_ones_miss(plugged, scorer, method):
    focused = plugged(max_video_tokens=33, method=method, scorer=scorer)
    frames = np.full((30, 28, 28, 3), 60, np.uint8)
    frames[4, 5:20, 5:20] = (250, 20, 20)
    frames[23, 5:20, 5:20] = (250, 20, 20)
    answer = focused.ask(frames, "what is red ?", max_new_tokens=2)
    assert [frame.index for frame in answer.frames] == [4, 23]
    assert [frame.time for frame in answer.frames] == [4.0, 23.0]
    assert [frame.kind for frame in answer.frames] == ["cone", "cone"]
    assert answer.tokens == 33  # two frames of 16 and the newline
    index = focused.index(frames)
    assert index.num_frames == 30
    for name in (None, "uniform", method):
        ask = focused.ask(index, "what is red ?", method=name, max_new_tokens=2)
        assert ask.tokens == 33
    assert ask.frames == answer.frames
    few = focused.ask(frames, "what is red ?", max_frames=1, max_new_tokens=2)
    assert len(few.frames) == 1


@pytest.mark.parametrize("method", ["aks", "bolt"])
def test_a_rule_without_a_scorer_is_refused_before_the_work(
    plugged, make_frames, method
):
    with pytest.raises(
        ValueError, match=f"method '{method}' chooses .*; give a scorer"
    ):
        plugged(method=method)
    focused = plugged()
    focused.backbone.family.encode = None
    with pytest.raises(ValueError, match="give a scorer .*, such as CLIP"):
        focused.ask(make_frames(4), QUESTION, method=method)


def test_a_conversation_encodes_once_and_keeps_its_turns(plugged, clip, monkeypatch):
    focused = plugged(max_video_tokens=40)
    session = focused.chat(clip)
    monkeypatch.setattr(focused.backbone.family, "encode", None)
    prompts = []
    render = HostProcessor.render

    def spy(self, messages):
        prompts.append(render(self, messages))
        return prompts[-1]

    monkeypatch.setattr(HostProcessor, "render", spy)
    first = session.ask(QUESTION, max_new_tokens=3)
    second = session.ask("where ?", max_new_tokens=3)
    assert [turn.answer for turn in session.turns] == [first.text, second.text]
    assert prompts[1].count("<video>") == 1
    assert prompts[1].index("<video>") < prompts[1].index(QUESTION)
    assert second.tokens == 40


@pytest.mark.parametrize("host", ["llava_onevision", "qwen3_vl"])
def test_every_selector_chooses_within_the_budget_of_a_host(plugged, make_frames, host):
    focused = plugged(host, scorer=WordScorer())
    video = focused.index(make_frames(24))
    whole = video.features.tokens_per_step
    for name, selector in SELECTORS.items():
        if selector.rest not in ("dropped", "pruned"):
            continue
        for count in (1, 3):
            budget = count * whole + 1
            frames = focused.score_frames(
                video, "red square", method=name, max_video_tokens=budget
            )
            assert 0 < sum(frame.tokens for frame in frames) <= budget, name
            assert [f.time for f in frames] == sorted({f.time for f in frames})


def test_cdpruner_keeps_the_tokens_that_the_question_is_about(plugged, make_frames):
    focused = plugged("qwen3_vl", scorer=WordScorer())
    frames = make_frames(8, size=(96, 96)) // 2
    frames[:, :, :48, 0] = 250  # red on the left
    frames[:, :, 48:, 2] = 250  # blue on the right
    video = focused.index(frames)
    rows, columns = video.features.grid
    most = video.features.num_steps * rows * columns // 4
    left = {}
    for colour in ("red", "blue"):
        question = f"what is on the {colour} square ?"
        answer = focused.ask(
            video, question, method="cdpruner", max_video_tokens=most, max_new_tokens=2
        )
        assert answer.tokens == most
        _, kept = focused.backbone.select(video.features, question, most, "cdpruner")
        assert len({len(step.places) for step in kept}) <= 2  # one more or less
        places = torch.cat([step.places for step in kept])
        left[colour] = float((places % columns < columns // 2).float().mean())
    assert left["red"] > 0.75
    assert left["blue"] < 0.25


def test_fastvid_merges_what_a_host_reads_and_adds(plugged, make_frames):
    focused = plugged("qwen3_vl")
    video = focused.index(make_frames(24))
    most = video.features.num_tokens // 3
    answer = focused.ask(
        video, QUESTION, method="fastvid", max_video_tokens=most, max_new_tokens=2
    )
    assert answer.tokens == most
    seen, kept = focused.backbone.select(video.features, QUESTION, most, "fastvid")
    rows = seen.steps
    new = [(seen.tokens != video.features.tokens[rows]).any(2)]
    new.append((seen.layers != video.features.layers[rows]).flatten(2).any(2))
    assert new[0].any()
    for step, own in zip(kept, zip(*new, strict=True), strict=True):
        for is_new in own:  # nothing is merged into what is not read
            assert set(is_new.nonzero()[:, 0].tolist()) <= set(step.places.tolist())


def test_progress_and_text_come_piece_by_piece(plugged, clip):
    steps, pieces = [], []
    answer = plugged("qwen3_vl", max_video_tokens=40).ask(
        clip,
        QUESTION,
        max_new_tokens=4,
        progress=lambda done, total: steps.append((done, total)),
        on_text=pieces.append,
    )
    assert steps[-1] == (6, 6)
    assert "".join(pieces).strip() == answer.text


def test_wrong_calls_are_one_sentence(plugged, hosts, make_frames):
    focused, frames = plugged(), make_frames(4)
    with pytest.raises(ValueError, match="the question is empty"):
        focused.ask(frames, " ")
    with pytest.raises(
        ValueError, match="must not contain <video>, which holds the place"
    ):
        focused.ask(frames, "what is <video> ?")
    with pytest.raises(
        ValueError, match="one of air, aks, bolt, .*uniform, .*got 'magic'"
    ):
        focused.ask(frames, QUESTION, method="magic")
    with pytest.raises(
        ValueError, match="one of air, aks, bolt, .*uniform, .*got 'magic'"
    ):
        plugged(method="magic")
    with pytest.raises(
        ValueError, match="max_video_tokens must be at least 3, .* got 2"
    ):
        focused.ask(frames, QUESTION, max_video_tokens=2)
    with pytest.raises(ValueError, match="max_video_tokens must be at least 1, got 0"):
        plugged(max_video_tokens=0)
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1, got 0"):
        focused.ask(frames, QUESTION, max_new_tokens=0)
    with pytest.raises(
        ValueError, match=r"\d+ tokens .* 3000, more than the 2048 that"
    ):
        focused.ask(frames, QUESTION, max_new_tokens=3000)


def test_logits_that_are_not_numbers_are_reported(make_frames):
    from tiny_hosts import build_host

    host = build_host("llava_onevision")
    with torch.no_grad():
        host.model.lm_head.weight.fill_(torch.nan)
    focused = plug(host.model, host.processor)
    with pytest.raises(NonFiniteLogitsError, match="logits that are not finite"):
        focused.ask(make_frames(2), QUESTION)


@pytest.mark.parametrize("family", sorted(BUILDERS))
def test_confidence_is_the_mean_probability_of_a_hosts_tokens(
    plugged, make_frames, family
):
    focused = plugged(family)
    index = focused.index(make_frames(4))
    answer = focused.ask(index, QUESTION, max_new_tokens=3)
    turn = focused.prepare(index, QUESTION, AskOptions(max_new_tokens=3))
    written = focused.backbone.run(
        turn,
        max_new_tokens=3,
        do_sample=False,
        suppress_tokens=[turn.placeholder],
        output_scores=True,
        return_dict_in_generate=True,
    )
    tokens = written.sequences[0, turn.input_ids.shape[1] :]
    chances = [
        float(scores[0].float().softmax(dim=-1)[token])
        for token, scores in zip(tokens, written.scores, strict=True)
    ]
    expected = float(np.prod(chances)) ** (1 / len(chances))
    assert answer.confidence == pytest.approx(expected, rel=1e-4)
    assert answer.best_time is None  # no scorer looked at the question


@SOME
def test_a_budget_is_spent_on_the_excerpt_alone_with_the_times_of_the_file(
    plugged, clip, name
):
    focused = plugged(name, max_video_tokens=20)
    asked = {"start": 2, "end": "0:06", "max_new_tokens": 3}
    answer = focused.ask(clip, QUESTION, **asked)
    assert answer.tokens == 20
    gap = 2.0 if name == "qwen2_5_vl" else 1.0
    assert [frame.time for frame in answer.frames] == list(np.arange(2, 6, gap))
    again = focused.ask(focused.index(clip), QUESTION, **asked)
    assert again.tokens == 20
    assert [f.time for f in again.frames] == [f.time for f in answer.frames]
    chat = focused.chat(clip, start=2, end=6)
    assert chat.ask(QUESTION, max_new_tokens=3).frames == answer.frames


def test_the_best_frame_of_several_videos_is_told_where_a_scorer_compares_them(
    plugged, scorer
):
    red, blue = (np.zeros((6, 40, 56, 3), np.uint8) for _ in range(2))
    red[3, ..., 0] = blue[4, ..., 2] = 200
    focused = plugged(max_video_tokens=80, scorer=scorer)
    answer = focused.ask([red, blue], "what is blue ?", max_new_tokens=2)
    assert (answer.best_time, answer.best_video) == (4.0, 1)
    answer = focused.ask([red, blue], "what is red ?", max_new_tokens=2)
    assert (answer.best_time, answer.best_video) == (3.0, 0)
    own = plugged(max_video_tokens=80, scorer="host")
    answer = own.ask([red, blue], "what is red ?", max_new_tokens=2)
    assert answer.best_time is None  # attention within one video says nothing of two
