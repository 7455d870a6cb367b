"""Run a recipe as one of several processes, as ``torchrun`` starts them.

torchrun --nproc-per-node 2 tests/training/processes.py RECIPE.yaml OUTPUT[@KILL_AT] ...

The recipe runs once for each output. With KILL_AT, the second process kills itself, as by
``kill -9``, when it reads its sample of that number. A recipe with FSDP2 runs on CPUs, which
torch can and accelerate does not.
"""

from __future__ import annotations

import os
import signal
import sys
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


def main(recipe: str, *outputs: str) -> None:
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


if __name__ == "__main__":
    main(*sys.argv[1:])
