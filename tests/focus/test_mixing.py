"""The temporal table and the mixing of frequencies, against loops over the formulas."""

from __future__ import annotations

import math

import pytest
import torch

from dynfocus.focus.mixing import MixingAttention, TemporalTable

DIM = 6


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make_mixing(mixing, gate=1.0):
    torch.manual_seed(0)
    module = MixingAttention(DIM, mixing)
    torch.nn.init.constant_(module.gates, gate)
    return module


def look(queries, keys, values):
    """Eq. 5, token by token."""
    found = torch.zeros_like(queries)
    for i, query in enumerate(queries):
        logits = [float(query @ key) / math.sqrt(DIM) for key in keys]
        weights = torch.tensor(logits, dtype=queries.dtype).softmax(0)
        for weight, value in zip(weights, values, strict=True):
            found[i] += weight * value
    return found


@pytest.mark.parametrize("seconds", [900, 3000, 9000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_second_has_its_row_exactly(seconds, dtype):
    table = TemporalTable(1000, DIM).to(dtype)
    times = torch.arange(seconds, dtype=torch.float64)
    expected = [1000 * second // seconds for second in range(seconds)]
    assert table.positions(times, float(seconds)).tolist() == expected


def test_the_row_is_added_to_all_tokens_of_a_frame():
    table = TemporalTable(10, DIM)
    content = draw(3, 4, DIM)
    got = table(content, torch.tensor([0.0, 7.9, 20.0]), 20.0)
    for frame, row in enumerate([0, 3, 9]):
        expected = content[frame] + table.rows.weight[row]
        torch.testing.assert_close(got[frame], expected)


@pytest.mark.parametrize("duration", [0.0, -1.0, math.nan])
def test_a_video_of_no_length_is_refused(duration):
    with pytest.raises(ValueError, match=r"duration must be above 0 seconds"):
        TemporalTable(10, DIM).positions(torch.zeros(1), duration)


@pytest.mark.parametrize("mixing", ["high_from_low", "bi"])
def test_mixing_is_the_formula(mixing):
    module = make_mixing(mixing, gate=0.7)
    content, is_high = draw(5, 2, DIM), torch.tensor([False, True, True, False, True])
    with torch.no_grad():
        got = module(content, is_high)
        high, low = content[is_high].flatten(0, 1), content[~is_high].flatten(0, 1)
        from_high, from_low = module.high_projector(high), module.low_projector(low)
        new_high = high + 0.7 * look(from_high, from_low, low)
        new_low = low
        if mixing == "bi":
            new_low = low + 0.7 * look(from_low, from_high, high)
    torch.testing.assert_close(got[is_high].flatten(0, 1), new_high)
    torch.testing.assert_close(got[~is_high].flatten(0, 1), new_low)


@pytest.mark.parametrize("mixing", ["high_from_low", "bi"])
def test_a_fresh_gate_changes_nothing_and_learns(mixing):
    module = MixingAttention(DIM, mixing)
    content, is_high = draw(4, 3, DIM), torch.tensor([True, False, True, False])
    got = module(content, is_high)
    assert torch.equal(got, content)
    (got * draw(4, 3, DIM, seed=2)).sum().backward()
    assert bool((module.gates.grad != 0).all())


@pytest.mark.parametrize("is_high", [True, False])
def test_a_video_of_one_frequency_is_left_alone(is_high):
    content = draw(3, 2, DIM)
    assert make_mixing("bi")(content, torch.full((3,), is_high)) is content


def test_no_mixing_has_no_module():
    with pytest.raises(ValueError, match="mixing must be high_from_low or bi"):
        MixingAttention(DIM, "off")
