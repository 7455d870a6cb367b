"""Muon beside AdamW: the update against its equation, and states that go on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dynfocus.training.optimizer import (
    Muon,
    muon_groups,
    orthogonalise,
    parameter_groups,
    split_parameters,
)
from dynfocus.training.parts import group_of, set_trainable


class Net(nn.Module):
    """One of each kind of parameter."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(5, 6)
        self.first = nn.Linear(6, 8)
        self.second = nn.Linear(8, 6)
        self.third = nn.Linear(6, 8)
        self.norm = nn.LayerNorm(8)
        self.kernel = nn.Parameter(torch.randn(2, 3, 2, 2))
        self.heads = nn.ModuleDict({"a": nn.Linear(8, 3)})
        self.lm_head = nn.Linear(8, 5)

    def forward(self, ids):
        hidden = self.second(torch.tanh(self.first(self.embed(ids))))
        hidden = self.norm(self.third(hidden))
        extra = self.kernel.sum() * 0.01
        return (self.heads["a"](hidden).square().sum() + self.lm_head(hidden)[0, 0]) + (
            extra
        )


def muon(net, rate, weight_decay=0.0, beta2=0.98):
    return Muon(muon_groups(net, weight_decay), lr=rate, betas=(0.9, beta2))


def take_steps(net, optimizer, num_steps, start=0):
    for number in range(start, start + num_steps):
        generator = torch.Generator().manual_seed(number)
        ids = torch.randint(5, (4,), generator=generator)
        optimizer.zero_grad()
        net(ids).backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(3, 8, 20), (1, 16, 16), (2, 4, 64)])
def test_singular_values_move_near_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    moved = orthogonalise(100 * matrices)
    values = torch.linalg.svdvals(moved)
    assert values.min() > 0.5
    assert values.max() < 1.5
    u, _, vh = torch.linalg.svd(matrices.double(), full_matrices=False)
    turned = u.mT @ moved.double() @ vh.mT
    rest = turned - torch.diag_embed(turned.diagonal(dim1=1, dim2=2))
    assert rest.abs().max() < 1e-3  # the directions stay


def test_nothing_stays_nothing():
    assert torch.equal(orthogonalise(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))


def test_matrices_of_layers_go_to_muon_and_the_rest_to_adamw():
    net = Net()
    net.third.requires_grad_(False)
    matrices, others = split_parameters(net)
    names = {id(p): name for name, p in net.named_parameters()}
    assert [names[id(p)] for p in matrices] == [
        "kernel",
        "first.weight",
        "second.weight",
    ]
    assert {names[id(p)] for p in others} == {
        "embed.weight",
        "first.bias",
        "second.bias",
        "norm.weight",
        "norm.bias",
        "heads.a.weight",
        "heads.a.bias",
        "lm_head.weight",
        "lm_head.bias",
    }


def test_two_steps_follow_the_equation():
    generator = torch.Generator().manual_seed(3)
    shapes = [(4, 6), (6, 4), (4, 6), (3, 3)]  # the first three are treated together
    weights = [torch.randn(s, generator=generator) for s in shapes]
    parameters = [nn.Parameter(w.clone()) for w in weights]
    group = {"params": parameters, "weight_decay": 0.5, "is_muon": True}
    optimizer = Muon([group], lr=0.1)
    averages = [torch.zeros(s) for s in shapes]
    for _ in range(2):
        for i, parameter in enumerate(parameters):
            parameter.grad = torch.randn(shapes[i], generator=generator)
            gradient = parameter.grad.clone()
            averages[i] = 0.95 * averages[i] + 0.05 * gradient
            update = 0.05 * gradient + 0.95 * averages[i]
            is_tall = shapes[i][0] > shapes[i][1]
            step = orthogonalise((update.T if is_tall else update)[None])[0]
            step = step.T if is_tall else step
            rate = 0.1 * 0.2 * max(shapes[i]) ** 0.5
            weights[i] = (1 - 0.1 * 0.5) * weights[i] - rate * step
        optimizer.step()
        for parameter, weight in zip(parameters, weights, strict=True):
            torch.testing.assert_close(parameter.detach(), weight)


def test_others_follow_adamw_without_decay():
    net, twin = Net(), Net()
    optimizer = muon(net, 0.01, weight_decay=0.9, beta2=0.98)
    _, others = split_parameters(twin)
    reference = torch.optim.AdamW(others, lr=0.01, weight_decay=0.0, betas=(0.9, 0.98))
    take_steps(net, optimizer, 1)
    take_steps(twin, reference, 1)
    for one, other in zip(split_parameters(net)[1], others, strict=True):
        torch.testing.assert_close(one, other)


def test_frozen_and_idle_parameters_stay():
    net = Net()
    net.first.requires_grad_(False)
    before = {name: p.clone() for name, p in net.named_parameters()}
    optimizer = muon(net, 0.01, weight_decay=0.1)
    take_steps(net, optimizer, 2)
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter, before[name]) == name.startswith("first."), name


def test_a_restored_state_goes_on_as_if_nothing_had_happened():
    net, twin = Net(), Net()
    optimizer = muon(net, 0.01, 0.1)
    take_steps(net, optimizer, 4)
    stopped = muon(twin, 0.01, 0.1)
    take_steps(twin, stopped, 2)
    state = stopped.state_dict()
    resumed = Net()
    resumed.load_state_dict(twin.state_dict())
    goes_on = muon(resumed, 0.5, 0.7)
    goes_on.load_state_dict(state)
    take_steps(resumed, goes_on, 2, start=2)
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter, resumed.get_parameter(name)), name


def test_one_schedule_drives_both_also_after_a_restart():
    net = Net()
    optimizer = muon(net, 0.4)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 1 / (1 + n))
    take_steps(net, optimizer, 1)
    optimizer.load_state_dict(optimizer.state_dict())
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.2]


def test_a_model_of_one_kind_is_enough():
    for only, is_muon in (
        (nn.Linear(3, 4, bias=False), True),
        (nn.LayerNorm(3), False),
    ):
        (group,) = muon_groups(only)
        assert group["is_muon"] == is_muon


def test_groups_of_the_model_have_their_own_rates(make_tiny):
    model, _ = make_tiny()
    set_trainable(model, ["projectors", "scores", "language_model"])
    rates = {"projectors": 0.2, "language_model": 0.3}
    groups = parameter_groups(model, 0.1, rates, 0.5)
    found = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    learns = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert len(found) == len(learns)
    for name, parameter in learns.items():
        rate = {**rates, "scores": 0.1}[group_of(name)]
        assert found[id(parameter)] == (rate, 0.5 if parameter.ndim > 1 else 0.0), name


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("text_encoder", "nothing of 'text_encoder' learns; leave it out"),
        ("projector", "must name some of tower_method, .*, got 'projector'"),
    ],
)
def test_rates_of_nothing_are_refused(make_tiny, group, message):
    model, _ = make_tiny()
    set_trainable(model, ["projectors"])
    with pytest.raises(ValueError, match=message):
        parameter_groups(model, 0.1, {group: 0.2})
