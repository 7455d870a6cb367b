"""Run a recipe as one of several processes, as ``torchrun`` starts them.

torchrun --nproc-per-node 2 tests/training/processes.py RECIPE.yaml OUTPUT[@KILL_AT] ...

The recipe runs once for each output. With KILL_AT, the second process kills itself, as by
``kill -9``, when it reads its sample of that number.
"""

from __future__ import annotations

import os
import signal
import sys

from dynfocus.training import run_recipe
from dynfocus.training.dataset import ConversationDataset


def main(recipe: str, *outputs: str) -> None:
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
