"""What a checkpoint keeps: what learns, statistics of norms among it."""

from __future__ import annotations

import torch
from torch import nn

from dynfocus.training.checkpoint import (
    MovingAverage,
    learned_tensors,
    load_learned,
    save_learned,
)


def make_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.BatchNorm2d(4).requires_grad_(False),
    )


def test_statistics_are_kept_of_norms_that_learn_alone(tmp_path):
    net, other = make_net(), make_net()
    statistics = {"1.running_mean", "1.running_var"}
    weights = {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert set(learned_tensors(net)) == weights | statistics
    net(torch.randn(2, 3, 8, 8))
    save_learned(net, tmp_path)
    load_learned(other, tmp_path)
    assert torch.equal(net[1].running_mean, other[1].running_mean)
    assert not torch.equal(net[2].running_mean, other[2].running_mean)


def test_an_average_takes_the_statistics_along():
    net = make_net()
    average = MovingAverage(net, 0.5)
    before = net[1].running_mean.clone()
    net(torch.randn(2, 3, 8, 8))
    fresh = net[1].running_mean.clone()
    average.update(1000)
    average.apply()
    torch.testing.assert_close(net[1].running_mean, (before + fresh) / 2)


def test_tied_weights_are_kept_once(tmp_path):
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    net[1].weight = net[0].weight
    assert set(learned_tensors(net)) == {"0.weight"}
    save_learned(net, tmp_path)
    load_learned(net, tmp_path)
