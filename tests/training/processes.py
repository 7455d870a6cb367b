"""Run a recipe as one of several processes, in the environment that ``torchrun`` makes.

The recipe runs once for each output, ``OUTPUT[@KILL_AT]``. With KILL_AT, the second process
kills itself, as by ``kill -9``, when it reads its sample of that number. A recipe with FSDP2
runs on CPUs, which torch can and accelerate does not.
"""

from __future__ import annotations

import logging
import os
import signal
from typing import Any

from accelerate.state import AcceleratorState, DistributedType, PartialState

from dynfocus.training import arguments, run_recipe
from dynfocus.training.dataset import ConversationDataset


def shard_on_cpus() -> None:
    """Let accelerate shard over gloo as it does over NCCL."""
    real = AcceleratorState.__init__

    def start(self: AcceleratorState, *words: Any, **settings: Any) -> None:
        real(self, *words, **settings)
        plugin = settings.get("fsdp_plugin")
        if plugin is not None and self.distributed_type is DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.FSDP
            self.fsdp_plugin = plugin
            PartialState._shared_state["distributed_type"] = self.distributed_type

    AcceleratorState.__init__ = start
    arguments._need_gpus = lambda: None


def run(rank: int, port: int, recipe: str, outputs: list[str]) -> None:
    """Be one of two processes."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    os.environ |= {name: str(value) for name, value in place.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    log = logging.FileHandler(f"{outputs[-1].partition('@')[0]}-{rank}.log", mode="w")
    logging.getLogger("dynfocus").addHandler(log)
    shard_on_cpus()
    real = ConversationDataset.__getitem__
    num_read = kill_at = 0

    def read(self: ConversationDataset, number: int) -> dict[str, object]:
        nonlocal num_read
        num_read += 1
        if num_read == kill_at and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, number)

    ConversationDataset.__getitem__ = read
    for output in outputs:
        folder, _, at = output.partition("@")
        num_read, kill_at = 0, int(at or 0)
        run_recipe(recipe, [f"output={folder}"])
