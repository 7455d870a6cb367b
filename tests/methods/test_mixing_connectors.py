"""Connectors that mix frames or choose mixtures of them: their arithmetic by hand."""

from __future__ import annotations

import math

import pytest
import torch
from connector_parts import build, connect, make_video, near, video_of

from dynfocus.focus import VideoFeatures
from dynfocus.methods.connectors import storm
from dynfocus.methods.connectors.b_vllm import find_roots
from dynfocus.methods.connectors.blocks import fold_grid, gumbel
from dynfocus.methods.connectors.quicksviewer import (
    count_bounds,
    momentum,
    place_waves,
)

TOKENS = {
    ("b_vllm", 256, ()): {1: 32, 2: 512, 256: 512},
    ("pvc", 256, ()): {1: 64, 16: 1024, 64: 4096, 256: 16384},
    ("storm", 256, ()): {16: 1024, 64: 4096, 256: 16384},
    ("storm", 256, (("spatial_pool", 2),)): {16: 256, 64: 1024, 256: 4096},
    ("storm", 256, (("sampling", 2),)): {16: 512, 20: 768},
    ("quicksviewer", 576, ()): {16: 256, 64: 896, 256: 3328, 420: 5440},
}


def wake(connector):
    """Open all gates, so that what is behind them counts."""
    for name, parameter in connector.named_parameters():
        if name.endswith("gates"):
            torch.nn.init.normal_(parameter)
    return connector


@pytest.mark.parametrize(("case", "counts"), TOKENS.items())
def test_tokens_are_those_of_the_specification(case, counts):
    name, num_patches, options = case
    connector = build(name, num_patches, **dict(options))
    assert {frames: connector.num_tokens(frames) for frames in counts} == counts


def test_gumbel_noise_is_drawn_by_its_quantiles():
    near(gumbel(torch.tensor([0.5])), torch.tensor([-math.log(math.log(2))]))
    ends = gumbel(torch.tensor([0.0, 1.0]).bfloat16())
    assert bool(ends.isfinite().all())


def test_windows_of_patches_are_laid_in_a_row():
    grid = torch.arange(9.0).view(1, 9, 1)
    # of three rows the last one stands twice
    rows = [[0, 1, 3, 4], [2, 2, 5, 5], [6, 7, 6, 7], [8, 8, 8, 8]]
    assert fold_grid(grid)[0].tolist() == rows
    assert fold_grid(torch.zeros(2, 16, 8)).shape == (2, 4, 32)


@torch.no_grad()
def test_fresh_pvc_folds_windows_and_nothing_else():
    connector, video = build("pvc"), make_video(3)
    found = connect(connector, video)
    near(found.embeds, connector.projector(fold_grid(video.spatial)).flatten(0, 1))
    assert found.lengths.tolist() == [4, 4, 4]


@torch.no_grad()
def test_pvc_sees_the_same_place_in_earlier_frames_alone():
    connector, video = wake(build("pvc")), make_video(5)
    before = connect(connector, video).embeds.view(5, 4, -1)
    changed = video.spatial.clone()
    changed[3, 0] = -changed[3, 0]  # of the first window
    after = connect(connector, video_of(changed)).embeds.view(5, 4, -1)
    moved = (before - after).abs().amax(2) > 1e-6
    assert moved.nonzero().tolist() == [[3, 0], [4, 0]]


@torch.no_grad()
def test_a_layer_of_pvc_follows_its_formula():
    layer = wake(build("pvc", depth=1)).layers[0]
    patches, waves = torch.randn(3, 1, 8), torch.randn(3, 256)
    scale, shift = layer.time(waves).chunk(2, dim=1)
    normed = layer.norm(patches[:, 0]) * (1 + scale) + shift
    query, key, value = layer.inputs(normed).chunk(3, dim=1)
    for frame in range(3):
        heads = []
        for head in range(8):  # of one channel each
            logits = query[frame, head] * key[: frame + 1, head]
            heads.append(logits.softmax(0) @ value[: frame + 1, head])
        own = patches[frame, 0] + layer.gates[0] * layer.outputs(torch.stack(heads))
        own = own + layer.gates[1] * layer.perceptron(own)
        near(layer(patches, waves)[frame, 0], own)


@torch.no_grad()
def test_pvc_reads_an_image_as_a_still_video_of_four_frames():
    connector, image = wake(build("pvc")), make_video(1)
    still = VideoFeatures(
        spatial=image.spatial.repeat(4, 1, 1), pts_seconds=torch.zeros(4).double()
    )
    near(connect(connector, image).embeds, connect(connector, still).embeds[-4:])


@torch.no_grad()
def test_fresh_storm_averages_four_frames():
    connector, video = build("storm"), make_video(6)
    found = connect(connector, video)
    tokens = connector.projector(video.spatial)
    near(found.embeds, torch.cat([tokens[:4].mean(0), tokens[4:].mean(0)]))
    assert found.pts_seconds.tolist() == [1.5] * 16 + [4.5] * 16


@torch.no_grad()
def test_storm_may_average_windows_and_leave_steps_out():
    connector = build("storm", temporal_pool=2, spatial_pool=2, sampling=2)
    video = make_video(6)
    found = connect(connector, video)
    tokens = connector.projector(video.spatial).unflatten(1, (2, 2, 2, 2))
    pooled = tokens.mean((2, 4))  # rows and columns of windows
    wanted = torch.stack([pooled[:2].mean(0), pooled[4:].mean(0)])
    near(found.embeds, wanted.flatten(0, 2))
    assert found.pts_seconds.tolist() == [0.5] * 4 + [4.5] * 4


@torch.no_grad()
def test_a_scan_is_the_recurrence_over_chunks():
    torch.manual_seed(0)
    inputs, log_decay = torch.randn(150, 2, 3), -torch.rand(150, 2)
    write, read = torch.randn(150, 4), torch.randn(150, 4)
    state = torch.randn(2, 3, 4)
    found, last = storm.scan(inputs, log_decay, write, read, state)
    for step in range(150):
        added = torch.einsum("nw,s->nws", inputs[step], write[step])
        state = log_decay[step].exp()[:, None, None] * state + added
        near(found[step], state @ read[step])
    near(last, state)


@torch.no_grad()
def test_a_state_space_follows_its_formula_in_parts_as_in_one(monkeypatch):
    torch.manual_seed(0)
    layer, row = storm.StateSpace(3, 2), torch.randn(130, 3)
    torch.nn.init.normal_(layer.kernel)
    state, padded = torch.zeros(3, 2), torch.cat([torch.zeros(3, 3), row])
    whole = layer(row)
    for step in range(130):
        taps = (layer.kernel[:, 0].T * padded[step : step + 4]).sum(0)
        x = taps * taps.sigmoid()
        delta = (1 + layer.step(x).exp()).log()
        write, read = layer.read_write(x).chunk(2)
        state = (-delta * layer.rates.exp()).exp() * state
        state = state + delta * x[:, None] * write
        near(whole[step], state @ read + layer.skip * x)
    monkeypatch.setattr(storm, "_MOST_NUMBERS", 1)  # a chunk at once
    near(layer(row), whole)


@torch.no_grad()
def test_storm_of_a_reversed_row_with_both_directions_swapped_is_reversed():
    connector, row = wake(build("storm")), torch.randn(20, 10)
    layer = connector.layers[0]
    whole = layer(row)
    layer.ahead, layer.back = layer.back, layer.ahead
    near(layer(row.flip(0)).flip(0), whole)
    assert not torch.allclose(whole, row, atol=1e-3)


def test_quicksviewer_counts_its_cubes():
    counted = {n: count_bounds(n) for n in (1, 2, 3, 15, 20, 480)}
    assert counted == {1: 0, 2: 1, 3: 1, 15: 2, 20: 3, 480: 95}


def test_quicksviewer_remembers_how_patches_moved():
    moves = momentum(torch.tensor([0.0, 1, 3, 3]).view(4, 1, 1)).flatten()
    near(moves, torch.tensor([1.0, 0.8 * 2 + 0.2, 0.2 * 1.8]))


def test_quicksviewer_writes_the_place_of_a_patch_in_eighths():
    waves = place_waves(torch.zeros(2, 9, 16), start=5)
    frame, row, column = waves[1, 5].split([4, 6, 6])  # row 1, column 2
    near(
        frame, torch.tensor([f(6 * r) for f in (math.sin, math.cos) for r in (1, 0.01)])
    )
    rates = [10_000 ** (-i / 3) for i in range(3)]
    for part, place in ((row, 1), (column, 2)):
        wanted = [f(place * rate) for f in (math.sin, math.cos) for rate in rates]
        near(part, torch.tensor(wanted))


@torch.no_grad()
def test_quicksviewer_cuts_a_video_into_cubes_behind_a_thumbnail():
    connector, video = build("quicksviewer", 36, cube_tokens=3), make_video(17, 36)
    starts, weights = connector.bounds(video.spatial, 2)
    assert starts[0] == 0
    assert bool((starts.diff() > 0).all())
    assert weights.tolist() == [1.0] * 3
    moves = momentum(video.spatial)
    logits = connector.bounds.score(connector.bounds.inputs(moves).mean(1))
    best = (logits[:, 1] - logits[:, 0]).topk(2).indices.sort().values + 1
    assert starts[1:].tolist() == best.tolist()
    found = connect(connector, video)
    windows = video.spatial[starts].mean(0).unflatten(0, (2, 3, 2, 3))
    thumbnail = windows.mean((1, 3)).flatten(0, 1)
    near(found.embeds[:4], connector.context_projector(thumbnail))
    ends = [*starts[1:].tolist(), 17]
    for cube, (start, end) in enumerate(zip(starts.tolist(), ends, strict=True)):
        own = connector.resampler(video.spatial[start:end], start)
        near(found.embeds[4 + 3 * cube : 7 + 3 * cube], own)
        middle = (start + end - 1) / 2
        assert found.pts_seconds[4 + 3 * cube].item() == pytest.approx(middle)


def test_quicksviewer_learns_its_bounds_from_the_thumbnail_alone():
    connector = build("quicksviewer").train()
    found = connect(connector, make_video(17))
    network = [*connector.bounds.parameters()]
    cubes, thumbnail = found.embeds[1:].sum(), found.embeds[:1].square().sum()
    from_cubes = torch.autograd.grad(cubes, network, retain_graph=True)
    assert not any(grad.any() for grad in from_cubes)
    from_thumbnail = torch.autograd.grad(thumbnail, network)
    assert sum(float(grad.abs().sum()) for grad in from_thumbnail) > 0


def test_mixtures_join_the_earlier_one_that_is_most_like_them():
    angles = torch.tensor([0.0, 50, 80, 59, 90]).deg2rad()
    rows = torch.stack([angles.cos(), angles.sin()], dim=1)
    # (cos + 1) / 2 > 0.75 below 60 degrees: 80 joins 50, which has joined 0
    assert find_roots(rows, 0.75).tolist() == [0, 0, 0, 0, 0]
    assert find_roots(rows[[0, 2, 1, 4]], 0.75).tolist() == [0, 1, 1, 1]
    assert find_roots(rows[[0, 4]], 0.75).tolist() == [0, 1]


@torch.no_grad()
def test_b_vllm_chooses_by_its_formula():
    connector, means = build("b_vllm", num_mixtures=3), torch.randn(4, 8)
    text, mask = torch.randn(1, 2, 6), torch.ones(1, 2, dtype=torch.bool)
    asked = connector.selector(connector.chooser(means[None], text, mask)[0])
    shares = connector.choose(means, text, mask)
    for row in range(3):
        logits = torch.stack([asked[row] @ mean / math.sqrt(8) for mean in means])
        near(shares[row], (logits / 0.5).softmax(0))


@torch.no_grad()
def test_b_vllm_merges_alike_mixtures_and_reads_them_in_order(monkeypatch):
    connector, video = build("b_vllm", num_mixtures=4, mixture_tokens=2), make_video(3)
    shares = torch.tensor(
        [[0.0, 0.1, 0.9], [1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.0, 1.0, 0.0]]
    )
    monkeypatch.setattr(connector, "choose", lambda *_: shares)
    text, mask = torch.randn(1, 2, 6), torch.ones(1, 2, dtype=torch.bool)
    found = connect(connector, video, text)
    merged = torch.stack([(shares[1] + shares[2]) / 2, shares[3], shares[0]])
    frames = torch.einsum("rt,tnd->rnd", merged, video.spatial)
    read = connector.reader(frames, text.expand(3, -1, -1), mask.expand(3, -1))
    near(found.embeds, connector.projector(read).flatten(0, 1))
    times = [t for t in (0.05, 1.0, 1.9) for _ in range(2)]
    assert found.pts_seconds.tolist() == pytest.approx(times, abs=1e-6)


def test_b_vllm_of_one_frame_is_that_frame_and_draws_in_training_alone():
    connector, image = build("b_vllm", mixture_tokens=2), make_video(1)
    assert len(connect(connector, image).embeds) == 2 == connector.num_tokens(1)
    video = make_video(6)
    assert torch.equal(
        connect(connector, video).embeds, connect(connector, video).embeds
    )
    text, mask = torch.zeros(1, 1, 6), torch.ones(1, 1, dtype=torch.bool)
    noisy = build("b_vllm", mixture_tokens=2, noise="always")
    found = [connect(noisy, video).embeds for _ in range(2)]
    assert torch.equal(*found)
    assert len(found[0]) > len(connect(connector, video).embeds)
    means, connector = video.spatial.mean(1), connector.train()
    drawn = [connector.choose(means, text, mask) for _ in range(2)]
    assert not torch.equal(*drawn)


def test_b_vllm_learns_which_frames_to_mix():
    connector = build("b_vllm").train()
    connect(connector, make_video(6)).embeds.square().sum().backward()
    assert connector.chooser.queries.grad.abs().sum() > 0
    assert connector.selector.weight.grad.abs().sum() > 0
