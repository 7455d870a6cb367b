"""SlowFocus's network: one context token and a grid a frame, of one or two frequencies."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from dynfocus.focus import SlowFocusNetwork, SlowFocusSettings, TokenPlan, VideoFeatures

DIM, TEXT_DIM, HIDDEN, READER, SIDE = 6, 5, 7, 9, 4


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make(**changes):
    torch.manual_seed(0)
    settings = SlowFocusSettings(**{"grid_size": 2, "num_positions": 10} | changes)
    return SlowFocusNetwork(settings, DIM, TEXT_DIM, HIDDEN, READER).eval()


def make_video(num_frames, **fields):
    return VideoFeatures(
        spatial=draw(num_frames, SIDE * SIDE, DIM, seed=num_frames),
        pts_seconds=torch.arange(num_frames, dtype=torch.float64),
        **fields,
    )


def text_of(videos):
    longest = max(video.num_frames for video in videos)
    return draw(len(videos), longest, 3, TEXT_DIM, seed=2)


def expected_frame(network, patches, text, row):
    """One frame by the formulas, without mixing: ``[1 + C, H]``."""
    encoding = network.cooperative_encoding
    found = torch.zeros(DIM)
    keys = encoding.key_projector(patches)
    for query in encoding.query_projector(text):
        weights = (keys @ query / math.sqrt(DIM)).softmax(0)
        found += weights @ patches / len(text)
    grid = patches.view(2, 2, 2, 2, DIM)  # rows, inside, columns, inside
    cells = [grid[i, :, j].mean((0, 1)) for i in range(2) for j in range(2)]
    content = torch.stack(cells) + network.temporal_table.rows.weight[row]
    return torch.cat(
        [
            encoding.context_projector(found)[None],
            encoding.multi_modal_projector(content),
        ]
    )


@torch.no_grad()
def test_each_frame_is_a_context_token_and_a_grid():
    network, videos = make(), [make_video(4, duration=8.0), make_video(2)]
    tokens = network(videos, frame_text=text_of)
    text = text_of(videos)
    rows = ([0, 1, 2, 3], [0, 5])  # of 8 seconds, and of 2 frames that go on
    for block, video, words, places in zip(tokens, videos, text, rows, strict=True):
        frames = [
            expected_frame(network, video.spatial[t], words[t], row)
            for t, row in enumerate(places)
        ]
        torch.testing.assert_close(block.embeds, torch.cat(frames))
        assert block.lengths.tolist() == [5] * video.num_frames
        assert len(block.embeds) == network.num_tokens(video.num_frames)
        assert not block.is_cone.any()


def mixed(num_low=3, duration=4.0):
    low = make_video(num_low, duration=duration)
    high = VideoFeatures(
        spatial=draw(3, SIDE * SIDE, DIM, seed=9),
        pts_seconds=torch.tensor([1.0, 1.25, 1.5], dtype=torch.float64),
    )
    return low.mix(high)


def test_frames_of_both_frequencies_stand_in_time_order_and_once():
    times = torch.tensor([0.0, 10, 20, 30], dtype=torch.float64)
    low = replace(make_video(4), pts_seconds=times, duration=31.0)
    high = replace(make_video(3), pts_seconds=torch.tensor([10.0, 12, 14]))
    video = low.mix(high)
    assert video.pts_seconds.tolist() == [0, 10, 12, 14, 20, 30]
    assert video.is_high.nonzero()[:, 0].tolist() == [1, 2, 3]
    assert torch.equal(video.spatial[video.is_high], high.spatial)
    assert torch.equal(video.spatial[~video.is_high], low.spatial[[0, 2, 3]])
    assert video.duration == 31
    again = video.mix(replace(make_video(1), pts_seconds=torch.tensor([25.0])))
    assert again.is_high.tolist() == [False, True, True, True, False, True, False]
    assert low.mix(low).is_high.all()


@torch.no_grad()
@pytest.mark.parametrize("mixing", ["high_from_low", "bi"])
def test_mixing_changes_nothing_until_its_gate_opens(mixing):
    plain, network = make(mixing="off"), make(mixing=mixing)
    state = network.state_dict() | plain.state_dict()
    network.load_state_dict(state)
    videos = [mixed()]
    (before,) = plain(videos, frame_text=text_of)
    (fresh,) = network(videos, frame_text=text_of)
    assert torch.equal(before.embeds, fresh.embeds)
    torch.nn.init.ones_(network.mixing.gates)
    (after,) = network(videos, frame_text=text_of)
    moved = (after.embeds != fresh.embeds).any(1).view(-1, 5)
    assert not moved[:, 0].any()  # context tokens are not mixed
    changed = moved[:, 1:].any(1).tolist()
    expected = after.is_cone if mixing == "high_from_low" else torch.ones(5)
    assert changed == expected.bool().tolist()


@torch.no_grad()
def test_a_plan_leaves_out_low_frames_first():
    (tokens,) = make()([mixed(6, 6.0)], frame_text=text_of, plans=[TokenPlan(5, 0, 25)])
    assert tokens.is_cone.sum() == 3
    assert tokens.pts_seconds.tolist() == [1, 1.25, 1.5, 2, 4]
    assert tokens.frame_indices.tolist() == [1, 2, 3, 4, 6]


def test_the_budget_counts_all_tokens_of_frames():
    settings = SlowFocusSettings()
    assert settings.tokens_per_frame == 65
    assert settings.budget().plan(100).num_tokens == 6500
    assert settings.budget(4000).plan(100) == (61, 0, 3965)
    with pytest.raises(ValueError, match="max_video_tokens must be at least 65"):
        settings.budget(64)


def test_patches_are_read_at_the_width_of_the_q_former():
    assert make().to_reader(draw(2, 16, DIM)).shape == (2, 16, READER)
    same = SlowFocusNetwork(SlowFocusSettings(), DIM, TEXT_DIM, HIDDEN, DIM)
    assert not list(same.reader_projector.parameters())


def test_what_was_made_from_patches_cannot_be_mixed():
    made = VideoFeatures(
        spatial=draw(2, 4, 6), pooled=draw(2, 4, 6), pts_seconds=torch.arange(2.0)
    )
    with pytest.raises(ValueError, match="only patches of two frequencies"):
        made.mix(make_video(2))


def test_settings_are_read_back_and_unknown_ones_are_refused():
    settings = SlowFocusSettings(mixing="bi", grid_size=4)
    assert SlowFocusSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(ValueError, match="mixing must be one of"):
        SlowFocusSettings(mixing="all")
