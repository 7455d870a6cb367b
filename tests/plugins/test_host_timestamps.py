"""Times written into a host's prompt behind the frames, as in DATE."""

from __future__ import annotations

import json
from itertools import product

import pytest
import torch
from recomputation import greedy
from tiny_hosts import BUILDERS, save_host

import dynfocus
from dynfocus.cli import main
from dynfocus.models import AskOptions

QUESTION = "what is on the red square ?"
TELLING = ("qwen3_vl", "smolvlm")
OPTIONS = {
    "max_new_tokens": 3,
    "do_sample": False,
    "output_logits": True,
    "return_dict_in_generate": True,
}


def prompt_of(focused, video, **options):
    """Give the prompt that is read of a video, with every run of placeholders as one."""
    turn = focused.prepare(focused.index(video), QUESTION, AskOptions(**options))
    tokens = turn.input_ids[0].tolist()
    runs = [
        token
        for place, token in enumerate(tokens)
        if token != turn.placeholder or tokens[place - 1] != token
    ]
    words = focused.processor.tokenizer.convert_ids_to_tokens(runs)
    return turn, " ".join(words)


def published_positions(is_visual, grid, num_before, stamp):
    """Write down the rule of the published code for one video, token by token.

    Args:
        is_visual: Whether each token of the prompt is one of the video.
        grid: Rows and columns of a pair.
        num_before: Tokens before the video, ``p``.
        stamp: Tokens of a time.
    """
    rows, columns = grid
    time, found = num_before - 1, [(place,) * 3 for place in range(num_before)]
    while len(found) < len(is_visual):
        if is_visual[len(found)]:
            time += 1  # one after what is before, in all channels but for the place
            cells = product(range(rows), range(columns))
            found += [(time, num_before + r, num_before + c) for r, c in cells]
            if any(is_visual[len(found) :]):
                found += [(time + 1 + k,) * 3 for k in range(stamp)]
                time += stamp
        else:  # the last time, and the text after it
            start = max(max(one) for one in found) + 1
            found += [(start + k,) * 3 for k in range(len(is_visual) - len(found))]
    return torch.tensor(found).mT


def test_positions_of_qwen_are_those_of_the_published_code(plugged, make_frames):
    focused = plugged("qwen2_5_vl", method="none", use_timestamps=True)
    frames = make_frames(6, size=(40, 56))
    turn, text = prompt_of(focused, frames)
    assert text.count("< 0 . <unk> > <|video_pad|> < 2 . <unk> > <|video_pad|>") == 1
    video = focused.index(frames).features
    is_visual = turn.is_visual[0].tolist()
    num_before = is_visual.index(True)
    wanted = published_positions(is_visual, video.grid, num_before, stamp=5)
    assert torch.equal(turn.position_ids[1:, 0], wanted)
    times = turn.position_ids[1, 0][turn.is_visual[0]].unique() - num_before
    assert times.tolist() == [0, 6, 12]  # one more than a time has tokens


def test_a_host_goes_on_from_these_positions(plugged, make_frames):
    focused = plugged("qwen2_5_vl", max_video_tokens=40, use_timestamps=True)
    turn, _ = prompt_of(focused, make_frames(9))
    positions = turn.position_ids[1:, 0]
    tokens, logits = greedy(
        focused, turn.embeds[0], positions, None, turn.is_visual[0], 3
    )
    got = focused.backbone.run(turn, **OPTIONS)
    assert got.sequences[0, turn.input_ids.shape[1] :].tolist() == tokens
    for ours, theirs in zip(got.logits, logits, strict=True):
        torch.testing.assert_close(ours[0], theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_every_host_is_told_the_times_of_what_is_kept(plugged, make_frames, name):
    frames, rule = make_frames(8), {"method": "uniform", "max_video_tokens": 300}
    plain, before = prompt_of(plugged(name, **rule), frames)
    turn, text = prompt_of(plugged(name, **rule, use_timestamps=True), frames)
    assert torch.equal(turn.embeds[turn.is_visual], plain.embeds[plain.is_visual])
    assert turn.frames == plain.frames
    if name in TELLING:
        assert text == before
        return
    assert len(turn.frames) > 1
    for frame in turn.frames:
        assert text.count(f"< {frame.time:.0f} . <unk> >") == 1


def test_each_of_several_videos_has_its_own_times(plugged, make_frames):
    focused = plugged("qwen2_5_vl", max_video_tokens=60, use_timestamps=True)
    shown = [make_frames(4), make_frames(2, seed=1, size=(56, 40))]
    answer = focused.ask(shown, QUESTION, max_new_tokens=2)
    assert answer.tokens == 60 == sum(frame.tokens for frame in answer.frames)


def test_the_command_tells_times_to_models_of_others_alone(
    hosts, tmp_path, clip, capsys
):
    model = str(save_host(hosts("llava_onevision"), tmp_path / "host"))
    asked = ["ask", str(clip), QUESTION, "--model", model, "--use-timestamps"]
    limits = ["--max-video-tokens", "40", "--max-new-tokens", "2", "--json"]
    assert main([*asked, *limits]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == 40
    assert main(["ask", str(clip), QUESTION, "--model", "nano", "--use-timestamps"])
    assert "use_timestamps is for vision language models" in capsys.readouterr().err
    with pytest.raises(ValueError, match="and nano is none; leave it out"):
        dynfocus.load("nano", use_timestamps=True)
