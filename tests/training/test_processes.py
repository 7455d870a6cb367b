"""Two processes over gloo share a run, and one that is killed loses nothing."""

from __future__ import annotations

import json
import signal
import socket
from multiprocessing import get_context

import processes
import pytest
import torch
from safetensors.torch import load_file

from dynfocus.training import run_recipe

SOURCES = [
    {"world_videos": {"num_videos": 2, "seconds": [5, 8]}},
    {"world_logs": {"num_logs": 6}},
]


@pytest.fixture
def launch(make_tiny, write_recipe, tmp_path):
    """Train a tiny model from files in two processes, in one thread each."""
    model, processor = make_tiny()
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    settings = {"num_steps": 5, "save_every": 2, "total_batch_size": 4}

    def run(*outputs, sharding="none"):
        recipe = write_recipe(
            task="stage2",
            start={"model": str(tmp_path / "base")},
            data={"sources": SOURCES},
            schedule={**settings, "sharding": sharding},
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = get_context("forkserver")  # imports once what all processes need
        server.set_forkserver_preload(["dynfocus.training"])
        folders = [str(tmp_path / output) for output in outputs]
        group = [
            server.Process(
                target=processes.run, args=(rank, port, str(recipe), folders)
            )
            for rank in (0, 1)
        ]
        for process in group:
            process.start()
        for process in reversed(group):  # the second may be killed
            process.join(250)
            process.kill()
            process.join()
        return [process.exitcode for process in group]

    return run


def history(output):
    state = json.loads((output / "trainer_state.json").read_text())
    return [entry for entry in state["log_history"] if "loss" in entry]


@pytest.mark.parametrize(
    "sharding", ["none", pytest.param("fsdp2", marks=pytest.mark.slow)]
)
def test_a_killed_process_loses_nothing(launch, tmp_path, sharding):
    # two samples a step: it dies in the fourth step
    first, second = launch("whole", "killed@7", sharding=sharding)
    assert first != 0
    assert second == -signal.SIGKILL
    assert len(history(tmp_path / "whole")) == 5
    assert (tmp_path / "killed" / "checkpoint-2" / "whole.json").is_file()
    assert not (tmp_path / "killed" / "model").exists()
    assert launch("killed", sharding=sharding) == [0, 0]
    assert "continuing from" in (tmp_path / "killed-0.log").read_text()
    assert history(tmp_path / "killed") == history(tmp_path / "whole")
    one, other = (
        load_file(tmp_path / name / "model" / "model.safetensors")
        for name in ("whole", "killed")
    )
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    alone = run_recipe(tmp_path / "recipe.yaml", [f"output={tmp_path / 'alone'}"])
    losses, expected = (
        [entry["loss"] for entry in history(tmp_path / name)]
        for name in ("whole", "alone")
    )
    assert losses == pytest.approx(expected, abs=1e-3)
    whole = load_file(alone / "model" / "model.safetensors")
    assert set(one) == set(whole)
    assert all(one[name].shape == tensor.shape for name, tensor in whole.items())
