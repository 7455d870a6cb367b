"""The host as its own scorer: rows of its attention, the question against a baseline."""

from __future__ import annotations

import pytest
import torch
from tiny_hosts import BUILDERS, build_host

from dynfocus.methods.selectors.cones_and_rods import TEMPERATURE
from dynfocus.plugins import plug
from dynfocus.plugins.host_prompts import fill
from dynfocus.plugins.host_scorer import NEUTRAL, HostScorer, _rows, _sketch

QUESTION = "what is on the red square ?"
QWEN = pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])


@QWEN
def test_rows_are_those_of_the_whole_attention_map(name, make_frames):
    host = build_host(name)
    host.model.set_attn_implementation("eager")
    model = plug(host.model, host.processor)
    family = model.backbone.family
    video = model.index(make_frames(8)).features
    turn = fill(family, [(video, _sketch(video))], QUESTION)
    scorer = HostScorer(family, layers=(0, 2))
    rows = torch.arange(turn.input_ids.shape[1] - 6, turn.input_ids.shape[1])
    with torch.inference_mode():
        found = scorer._read(turn, rows)
        with family.prefill(turn.is_visual, turn.layers) as given:
            whole = host.model.model.language_model(
                inputs_embeds=turn.embeds,
                attention_mask=turn.attention_mask,
                position_ids=turn.position_ids,
                output_attentions=True,
                **given,
            ).attentions
    wanted = torch.stack([whole[layer][0, :, rows].mean(0) for layer in (0, 2)]).mean(0)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.sum(1), torch.ones(len(rows)))


@QWEN
def test_the_question_is_told_from_what_stands_before_it(name, plugged, make_frames):
    model = plugged(name)
    family = model.backbone.family
    video = model.index(make_frames(6)).features
    kept = _sketch(video)
    words = model.processor.tokenizer
    turn = fill(family, [(video, kept)], f"{NEUTRAL} {QUESTION}")
    alone = fill(family, [(video.take(torch.tensor([0])), kept[:1])], NEUTRAL)
    neutral, asked = _rows(turn, alone)
    assert words.decode(turn.input_ids[0][asked]).split()[-3:] == QUESTION.split()[-3:]
    assert neutral[-1] + 1 == asked[0]
    assert asked[-1] < turn.input_ids.shape[1] - 1  # the answer's place is no row of it


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_a_host_scores_steps_by_the_quotient_of_two_attentions(
    name, plugged, make_frames
):
    model = plugged(name, scorer="host", max_video_tokens=60)
    assert model.scores_see_question
    video = model.index(make_frames(8))
    found = model.backbone._own_scorer.compare(video.features, QUESTION)
    assert found.whole.shape == (video.num_frames,)
    assert torch.isfinite(found.whole).all()
    assert float(found.whole.abs().max()) < 20 * TEMPERATURE
    again = model.backbone._own_scorer.compare(video.features, QUESTION)
    torch.testing.assert_close(found.whole, again.whole)
    other = model.backbone._own_scorer.compare(video.features, "how many circle ?")
    assert not torch.allclose(found.whole, other.whole)
    for method in ("dynfocus", "ranked", "mdp3"):
        frames = model.score_frames(video, QUESTION, method=method, max_video_tokens=60)
        assert 0 < sum(frame.tokens for frame in frames) <= 60


def test_no_layer_above_the_middle_is_run_and_no_hook_stays(plugged, make_frames):
    model = plugged("qwen3_vl", scorer="host")
    language_model = model.model.model.language_model
    ran: list[int] = []
    handles = [
        layer.register_forward_hook(lambda *_, place=place: ran.append(place))
        for place, layer in enumerate(language_model.layers)
    ]
    scorer = model.backbone._own_scorer
    assert scorer.layers == (1,)  # the middle third of three
    scorer.compare(model.index(make_frames(4)).features, QUESTION)
    for handle in handles:
        handle.remove()
    assert ran == [0]
    for layer in language_model.layers:
        assert not layer.self_attn._forward_hooks
