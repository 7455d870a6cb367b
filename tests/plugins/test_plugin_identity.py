"""With compression off a plugged host is the host, bit for bit; with it on, only the
visual tokens change."""

from __future__ import annotations

import pytest
import torch
from recomputation import expected_prompt, greedy, host_arguments
from tiny_hosts import BUILDERS

from dynfocus.methods import SELECTORS
from dynfocus.models.conversation import Turn
from dynfocus.plugins.host_processor import HostProcessor
from dynfocus.plugins.host_prompts import fill, lay_out

QUESTION = "what is on the red square ?"
HISTORY = [Turn("where is the circle ?", "on the green square .")]
OPTIONS = {
    "max_new_tokens": 4,
    "do_sample": False,
    "eos_token_id": None,
    "output_logits": True,
    "return_dict_in_generate": True,
}
families = pytest.mark.parametrize("name", sorted(BUILDERS))


@families
@pytest.mark.parametrize("history", [(), HISTORY])
def test_without_compression_it_is_the_host_bit_for_bit(
    plugged, make_frames, name, history
):
    focused = plugged(name, method="none")
    frames = make_frames(5)
    host, video = focused.backbone, focused.index(frames).features
    ids = lay_out(host.family, [video], QUESTION, history)
    wanted = focused.model.generate(
        **host_arguments(focused, [frames], ids, fps=1.0), **OPTIONS
    )
    turn = fill(host.family, [host.select(video, QUESTION)], QUESTION, history)
    got = host.run(turn, **OPTIONS)
    assert torch.equal(got.sequences, wanted.sequences)
    assert len(got.logits) == 4
    for ours, theirs in zip(got.logits, wanted.logits, strict=True):
        assert torch.equal(ours, theirs)
    assert ours.std() > 0.01


@families
@pytest.mark.parametrize("history", [(), HISTORY])
def test_several_videos_are_read_as_the_host_reads_them(
    plugged, make_frames, name, history, monkeypatch
):
    focused = plugged(name, method="none")
    shown = [make_frames(4), make_frames(4, seed=1)]
    host = focused.backbone
    videos = [focused.index(frames).features for frames in shown]
    texts, token_ids = [], HostProcessor.token_ids

    def spy(self, text):
        texts.append(text)
        return token_ids(self, text)

    monkeypatch.setattr(HostProcessor, "token_ids", spy)
    ids = lay_out(host.family, videos, QUESTION, history)
    start = host.family.video_start
    first, second = (host.family.write(video) for video in videos)
    (text,) = texts
    one = text.index(f"Video 1: {start}{first}")
    two = text.index(f"Video 2: {start}{second}")
    assert one < two < text.index((*(turn.question for turn in history), QUESTION)[0])
    assert text.count("Video ") == 2
    arguments = host_arguments(focused, shown, ids, fps=1.0)
    wanted = focused.model.generate(**arguments, **OPTIONS)
    spent = [host.select(video, QUESTION) for video in videos]
    turn = fill(host.family, spent, QUESTION, history)
    got = host.run(turn, **OPTIONS)
    assert torch.equal(got.sequences, wanted.sequences)
    for ours, theirs in zip(got.logits, wanted.logits, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    numbers = [frame.video for frame in turn.frames]
    assert numbers == sorted(numbers)
    assert set(numbers) == {0, 1}


@families
def test_several_videos_share_the_budget(plugged, make_frames, name):
    focused = plugged(name, max_video_tokens=60)
    long, short = make_frames(12), make_frames(1, seed=1, size=(56, 40))
    answer = focused.ask([long, short], QUESTION, max_new_tokens=2)
    assert answer.tokens == 60 == sum(frame.tokens for frame in answer.frames)
    whole = focused.index(short).features.num_tokens
    tokens = [0, 0]
    for frame in answer.frames:
        tokens[frame.video] += frame.tokens
    assert tokens == [60 - min(whole, 30), min(whole, 30)]
    for number in (0, 1):
        times = [frame.time for frame in answer.frames if frame.video == number]
        assert times == sorted(times)
        assert times[0] == 0
    assert answer.best_time is None
    with pytest.raises(ValueError, match="least of 2 videos, got 3; raise it"):
        focused.ask([long, short], QUESTION, max_video_tokens=3)


@families
@pytest.mark.parametrize(("history", "budget"), [((), 24), (HISTORY, 47)])
def test_with_compression_only_the_visual_tokens_change(
    plugged, make_frames, name, history, budget
):
    focused = plugged(name, max_video_tokens=budget)
    host, video = focused.backbone, focused.index(make_frames(9)).features
    thinned, kept = host.select(video, QUESTION)
    ids = lay_out(host.family, [thinned], QUESTION, history)
    embeds, positions, layers, is_visual = expected_prompt(
        focused, thinned, ids, kept, fps=_rate(thinned)
    )
    inputs = fill(host.family, [(thinned, kept)], QUESTION, history)
    assert int(inputs.is_visual.sum()) == budget
    assert torch.equal(inputs.is_visual[0], is_visual)
    text = inputs.input_ids[0, ~inputs.is_visual[0]]
    assert torch.equal(text, ids[0][ids[0] != host.family.placeholder])
    torch.testing.assert_close(inputs.embeds[0], embeds)
    assert inputs.attention_mask.all()
    if positions is not None:
        assert torch.equal(inputs.position_ids[1:, 0], positions)
        count = torch.arange(len(embeds))
        assert torch.equal(inputs.position_ids[0, 0], count)
    tokens, logits = greedy(focused, embeds, positions, layers, is_visual, 4)
    got = host.run(inputs, **OPTIONS)
    assert got.sequences[0, inputs.input_ids.shape[1] :].tolist() == tokens
    for ours, theirs in zip(got.logits, logits, strict=True):
        torch.testing.assert_close(ours[0], theirs, rtol=1e-4, atol=1e-4)


@families
def test_a_host_is_left_as_it_was(hosts, plugged, make_frames, name):
    model = hosts(name).model
    before = {key: value.clone() for key, value in model.state_dict().items()}
    plugged(name, max_video_tokens=20).ask(make_frames(4), QUESTION, max_new_tokens=2)
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


@families
@pytest.mark.parametrize("method", sorted(SELECTORS))
def test_every_token_is_accounted_for(
    plugged, make_frames, scorer, name, method, monkeypatch
):
    needs_scorer = SELECTORS[method].needs_scorer
    options = {"scorer": scorer} if needs_scorer else {}
    focused = plugged(name, method=method, max_video_tokens=60, **options)
    seen = []
    generate = focused.model.generate

    def spy(**arguments):
        seen.append(arguments["inputs_embeds"].shape[1])
        return generate(**arguments)

    monkeypatch.setattr(focused.model, "generate", spy)
    frames = make_frames(8)
    answer = focused.ask(frames, QUESTION, max_new_tokens=2)
    assert sum(frame.tokens for frame in answer.frames) == answer.tokens
    if method == "dynfocus":
        assert answer.tokens == 60
    elif method != "none":
        assert answer.tokens <= 60
    host, video = focused.backbone, focused.index(frames).features
    if method == "none":
        assert answer.tokens == video.num_tokens
    thinned, _ = host.select(video, QUESTION)
    ids = lay_out(host.family, [thinned], QUESTION)
    num_text = int((ids != host.family.placeholder).sum())
    assert seen[0] == num_text + answer.tokens


def _rate(video) -> float:
    """Give the frames a second that the steps of a video amount to."""
    if video.frame_seconds.shape[1] == 1 or video.num_steps == 1:
        return 1.0
    seconds = video.frame_seconds[:, 0]
    return float(2 * (video.num_steps - 1) / (seconds[-1] - seconds[0]))
