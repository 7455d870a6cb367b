"""The one loop: what it writes, what it restores, what it passes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from functools import partial
from multiprocessing import get_context

import pytest
import torch
import yaml
from torch import nn
from torch.utils.data import Dataset

from dynfocus.provenance import source_commit
from dynfocus.training import load_recipe, loop
from dynfocus.training.arguments import make_arguments
from dynfocus.training.checkpoint import fingerprint_frozen
from dynfocus.training.loop import EpochSampler, Job, train
from dynfocus.training.optimizer import Muon


class Points(Dataset):
    """Eight points of a line; the process is killed at a given reading."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.kill_at = kill_at
        self.num_read = 0

    def __len__(self) -> int:
        return 8

    def __getitem__(self, number):
        self.num_read += 1
        if self.num_read == self.kill_at:
            raise KeyboardInterrupt
        return {"x": torch.tensor([number / 8.0]), "labels": torch.tensor(number / 4.0)}


class Noisy(nn.Module):
    """A small net whose loss draws on the global random state."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(1, 6)
        self.second = nn.Linear(6, 2)

    def forward(self, x, labels):
        hidden = torch.tanh(self.first(x)) + 0.1 * torch.randn(6)
        loss = (self.second(hidden).mean(1) - labels).square().mean()
        return {"loss": loss}


class Dying(Points):
    """Points whose process is killed at once, as by ``kill -9``."""

    def __getitem__(self, number):
        try:
            return super().__getitem__(number)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGKILL)
            raise


def train_and_die(path, output, kill_at):
    train(
        load_recipe(path, [f"output={output}"]),
        make_job(kill_at, points=Dying),
        resume=True,
    )


def make_job(kill_at=None, made=None, num_draws=0, points=Points, lengths=None):
    def make(recipe):
        model = Noisy()
        torch.randn(num_draws)  # as much as preparing the data happened to draw
        if made is not None:
            made.append(model)
        return Job(
            model=model,
            dataset=points(kill_at),
            lengths=lengths,
            finish=lambda trained, output: torch.save(
                trained.state_dict(), output / "weights.pt"
            ),
        )

    return make


def log(output):
    state = json.loads((output / "trainer_state.json").read_text())
    return [entry for entry in state["log_history"] if "loss" in entry]


SCHEDULE = {"num_steps": 7, "batch_size": 2, "save_every": 2, "learning_rate": 0.05}


@pytest.mark.parametrize(
    ("num_workers", "lengths"), [(0, None), (2, None), (1, [3, 9, 4, 1, 5, 9, 2, 6])]
)
def test_workers_change_nothing_of_a_run_that_is_continued(
    write_recipe, tmp_path, monkeypatch, num_workers, lengths
):
    # all checkpoints of two passes and a half stay
    monkeypatch.setattr("transformers.trainer.rotate_checkpoints", lambda **_: None)
    schedule = {**SCHEDULE, "num_steps": 10, "num_workers": num_workers}
    path = write_recipe(schedule=schedule)
    whole = load_recipe(path, [f"output={tmp_path / 'whole'}"])
    train(whole, make_job(lengths=lengths), resume=True)
    expected = log(tmp_path / "whole")
    for last in (2, 4, 6):
        folder = tmp_path / f"stopped-{last}"
        shutil.copytree(
            tmp_path / "whole" / f"checkpoint-{last}", folder / f"checkpoint-{last}"
        )
        train(
            replace(whole, output=str(folder)), make_job(lengths=lengths), resume=True
        )
        assert log(folder) == expected, last


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_killed_run_has_the_losses_of_an_undisturbed_one(
    write_recipe, tmp_path, optimizer, accumulation
):
    schedule = {
        **SCHEDULE,
        "optimizer": optimizer,
        "total_batch_size": accumulation * SCHEDULE["batch_size"],
    }
    path = write_recipe(schedule=schedule)
    whole = load_recipe(path, [f"output={tmp_path / 'whole'}"])
    killed = load_recipe(path, [f"output={tmp_path / 'killed'}"])
    train(whole, make_job(), resume=True)
    # in the second pass over the data, after the checkpoint of a middle step
    with pytest.raises(KeyboardInterrupt):
        train(killed, make_job(kill_at=11 * accumulation), resume=True)
    assert not (tmp_path / "killed" / "weights.pt").exists()
    train(killed, make_job(), resume=True)
    assert log(tmp_path / "killed") == log(tmp_path / "whole")
    assert len(log(tmp_path / "whole")) == 7
    one, other = (
        torch.load(tmp_path / name / "weights.pt") for name in ("whole", "killed")
    )
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name])


def test_groups_of_one_length_are_the_same_after_a_kill(write_recipe, tmp_path):
    path = write_recipe(schedule=SCHEDULE)
    lengths = [3, 9, 4, 1, 5, 9, 2, 6]
    train(
        load_recipe(path, [f"output={tmp_path / 'whole'}"]),
        make_job(lengths=lengths),
        resume=True,
    )
    for name, kill_at in (("border", 9), ("middle", 13)):  # of the second pass
        killed = load_recipe(path, [f"output={tmp_path / name}"])
        with pytest.raises(KeyboardInterrupt):
            train(killed, make_job(kill_at, lengths=lengths), resume=True)
        train(killed, make_job(lengths=lengths), resume=True)
        assert log(tmp_path / name) == log(tmp_path / "whole")
    orders = []
    for epoch in (0, 1, 0):
        sampler = EpochSampler(4, lengths, seed=3)
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
        assert sorted(orders[-1]) == list(range(8))
    assert orders[0] == orders[2] != orders[1]


def test_a_process_that_is_killed_at_once_loses_nothing(write_recipe, tmp_path):
    path = write_recipe(schedule=SCHEDULE)
    train(load_recipe(path, [f"output={tmp_path / 'whole'}"]), make_job(), resume=True)
    server = get_context("forkserver")  # imports once what all processes need
    server.set_forkserver_preload(["dynfocus.training"])
    process = server.Process(target=train_and_die, args=(path, tmp_path / "killed", 11))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    killed = load_recipe(path, [f"output={tmp_path / 'killed'}"])
    train(killed, make_job(), resume=True)
    assert log(tmp_path / "killed") == log(tmp_path / "whole")


@pytest.mark.parametrize("state", [None, "", '{"global_step": 4'])
def test_a_run_killed_while_it_saved_continues_from_the_checkpoint_before(
    write_recipe, tmp_path, caplog, state
):
    path = write_recipe(schedule=SCHEDULE)
    whole = load_recipe(path, [f"output={tmp_path / 'whole'}"])
    killed = load_recipe(path, [f"output={tmp_path / 'killed'}"])
    train(whole, make_job(), resume=True)
    with pytest.raises(KeyboardInterrupt):
        train(killed, make_job(kill_at=9), resume=True)
    half = tmp_path / "killed" / "checkpoint-4"
    if state is None:
        (half / "trainer_state.json").unlink()
    else:
        (half / "trainer_state.json").write_text(state)
    train(killed, make_job(), resume=True)
    assert "checkpoint-4 was not written to its end and is removed" in caplog.text
    assert f"continuing from {tmp_path / 'killed' / 'checkpoint-2'}" in caplog.text
    assert log(tmp_path / "killed") == log(tmp_path / "whole")


@pytest.mark.parametrize("is_same", [True, False])
def test_a_run_goes_on_beside_the_frozen_weights_of_its_start_alone(
    write_recipe, tmp_path, is_same
):
    recipe = load_recipe(write_recipe(schedule=SCHEDULE))

    def make_frozen(recipe, value=1.0, kill_at=None):
        job = make_job(kill_at)(recipe)
        job.model.first.weight.requires_grad_(False).fill_(value)
        return job

    with pytest.raises(KeyboardInterrupt):
        train(recipe, partial(make_frozen, kill_at=9), resume=True)
    if is_same:
        train(recipe, make_frozen, resume=True)
        assert len(log(tmp_path / "out")) == 7
        return
    with pytest.raises(ValueError, match="checkpoint-4 is of a run in which other par"):
        train(recipe, partial(make_frozen, value=1.5), resume=True)
    assert (tmp_path / "out" / "checkpoint-4").is_dir()
    train(recipe, partial(make_frozen, value=1.5), resume=False)


def test_the_fingerprint_is_of_all_that_does_not_learn():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(100, 100), nn.Linear(100, 2))
    model[0].requires_grad_(False)
    before = fingerprint_frozen(model)
    model[1].weight.data += 1
    assert fingerprint_frozen(model) == before
    model[0].weight.data[0, 0] += 1
    changed = fingerprint_frozen(model)
    assert changed != before
    model[0].weight.data[0, 0] -= 1
    model[0].bfloat16()
    assert fingerprint_frozen(model) not in (before, changed)


def test_without_resume_a_run_starts_over(write_recipe, tmp_path):
    schedule = {**SCHEDULE, "schedule": "constant"}
    recipe = load_recipe(write_recipe(schedule=schedule))
    made = []
    train(recipe, make_job(made=made), resume=True)
    first = log(tmp_path / "out")
    train(recipe, make_job(made=made), resume=False)
    assert log(tmp_path / "out") == first
    train(recipe, make_job(made=made), resume=True)  # nothing is left to do
    assert log(tmp_path / "out") == first
    for name, tensor in made[0].state_dict().items():
        assert torch.equal(tensor, made[2].state_dict()[name])


def test_the_seed_decides_everything(write_recipe, tmp_path):
    path = write_recipe(schedule=SCHEDULE)
    logs = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        recipe = load_recipe(path, [f"output={tmp_path / name}", f"seed={seed}"])
        job = make_job(num_draws=len(logs))
        logs.append(log(train(recipe, job, resume=True)))
    assert logs[0] == logs[1]
    assert logs[0] != logs[2]


def test_the_resolved_recipe_and_the_commit_are_kept(write_recipe, tmp_path):
    recipe = load_recipe(write_recipe(schedule={"num_steps": 1}))
    output = train(recipe, make_job(), resume=True)
    assert output == tmp_path / "out"
    text = (output / "recipe.yaml").read_text()
    assert text.startswith(f"# commit: {source_commit()}\n")
    assert load_recipe(output / "recipe.yaml") == recipe
    assert yaml.safe_load(text)["schedule"]["optimizer"] == "adamw"


def test_the_schedule_reaches_the_trainer(write_recipe, tmp_path):
    recipe = load_recipe(
        write_recipe(
            schedule={
                "num_steps": 20,
                "batch_size": 3,
                "total_batch_size": 6,
                "learning_rate": 0.5,
                "warmup_ratio": 0.25,
                "schedule": "cosine",
                "weight_decay": 0.3,
                "adam_beta2": 0.9,
                "precision": "bfloat16",
                "save_every": 9,
                "log_every": 4,
            },
            seed=11,
        )
    )
    arguments = make_arguments(recipe, tmp_path)
    assert arguments.max_steps == 20
    assert arguments.per_device_train_batch_size == 3
    assert arguments.gradient_accumulation_steps == 2
    assert arguments.learning_rate == 0.5
    assert arguments.warmup_steps == 5
    assert arguments.lr_scheduler_type == "cosine"
    assert arguments.weight_decay == 0.3
    assert arguments.adam_beta2 == 0.9
    assert arguments.bf16
    assert (arguments.save_steps, arguments.logging_steps) == (9, 4)
    assert arguments.seed == 11
    assert not arguments.remove_unused_columns
    assert arguments.report_to == []


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_rate_rises_and_falls(write_recipe, optimizer):
    schedule = {**SCHEDULE, "num_steps": 8, "warmup_ratio": 0.25}
    recipe = load_recipe(
        write_recipe(
            schedule={**schedule, "schedule": "linear", "optimizer": optimizer}
        )
    )
    rates = [e["learning_rate"] for e in log(train(recipe, make_job(), resume=True))]
    expected = [0, 0.5, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    assert rates == pytest.approx([0.05 * share for share in expected])


def test_muon_gets_the_numbers_of_the_recipe(write_recipe):
    schedule = {**SCHEDULE, "optimizer": "muon", "weight_decay": 0.2, "adam_beta2": 0.9}
    recipe = load_recipe(write_recipe(schedule=schedule))
    kind, given = loop._optimizer(recipe.schedule, Noisy())
    assert kind is Muon
    assert (given["lr"], given["betas"]) == (0.05, (0.9, 0.9))
    assert [group["weight_decay"] for group in given["params"]] == [0.2, 0.0]


def test_a_job_that_cannot_be_made_leaves_nothing(write_recipe, tmp_path):
    def fail(recipe):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        train(load_recipe(write_recipe()), fail, resume=True)
    assert not (tmp_path / "out").exists()


def test_the_result_may_be_a_moving_average_of_the_weights(write_recipe, tmp_path):
    """Computed again from the weights after each step; a killed run has the same."""
    path = write_recipe(schedule={**SCHEDULE, "moving_average": 0.6})
    seen, made = [], []
    real = loop.MovingAverage.update

    def update(self, num_steps):
        seen.append((num_steps, [p.detach().clone() for p in made[0].parameters()]))
        real(self, num_steps)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.MovingAverage, "update", update)
        whole = train(
            load_recipe(path, [f"output={tmp_path / 'whole'}"]),
            make_job(made=made),
            resume=True,
        )
    killed = load_recipe(path, [f"output={tmp_path / 'killed'}"])
    with pytest.raises(KeyboardInterrupt):
        train(killed, make_job(kill_at=11), resume=True)
    train(killed, make_job(), resume=True)
    train(killed, make_job(), resume=True)  # nothing is left to do
    one, other = (
        torch.load(folder / "weights.pt") for folder in (whole, tmp_path / "killed")
    )
    torch.manual_seed(load_recipe(path).seed)
    expected = list(Noisy().parameters())
    for num_steps, weights in seen:
        share = min(0.6, (1 + num_steps) / (10 + num_steps))
        expected = [
            share * e + (1 - share) * w for e, w in zip(expected, weights, strict=True)
        ]
    assert len(seen) == 7
    for found, again, wanted, last in zip(
        one.values(), other.values(), expected, seen[-1][1], strict=True
    ):
        assert torch.equal(found, again)
        torch.testing.assert_close(found, wanted.detach())
        assert not torch.equal(found, last)


def test_a_run_without_an_average_is_not_continued_with_one(write_recipe, tmp_path):
    plain = load_recipe(write_recipe(schedule=SCHEDULE), [f"output={tmp_path / 'a'}"])
    with pytest.raises(KeyboardInterrupt):
        train(plain, make_job(kill_at=11), resume=True)
    schedule = {**SCHEDULE, "moving_average": 0.9}
    averaged = load_recipe(
        write_recipe(schedule=schedule), [f"output={tmp_path / 'a'}"]
    )
    with pytest.raises(FileNotFoundError, match="has no moving average"):
        train(averaged, make_job(), resume=True)
    with pytest.raises(ValueError, match="moving_average needs sharding none"):
        load_recipe(write_recipe(schedule={**schedule, "sharding": "zero2"}))
