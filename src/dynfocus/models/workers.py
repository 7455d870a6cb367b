"""Worker threads that cluster the frames of a window side by side, one thread each.

They stand apart from the encoder, because training and sessions encode windows too.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

_Joined = TypeVar("_Joined", bound=Tensor | tuple[Tensor | None, ...])


def map_parts(work: Callable[[Tensor], _Joined], x: Tensor) -> _Joined:
    """Apply ``work`` to parts of ``x``, as many as torch has threads, and join them.

    Many small operations each of which is split among threads, as torch does, lose a
    third of what the threads could do. Nothing is split where gradients or autocast are
    wanted, which workers would not know of, or away from the processor.

    Args:
        work: What to do to a part; what it gives has as many entries, or is a named
            tuple of what has.
        x: The batch, shape ``[F, ...]``.
    """
    num_threads = torch.get_num_threads()
    if (
        min(num_threads, len(x)) < 2
        or x.device.type != "cpu"
        or torch.is_grad_enabled()
        or torch.is_autocast_enabled("cpu")
    ):
        return work(x)
    inference = torch.is_inference_mode_enabled()

    def alone(part: Tensor) -> _Joined:
        with torch.inference_mode(inference), torch.no_grad():
            return work(part)

    parts = torch.split(x, math.ceil(len(x) / num_threads))
    try:
        return _join(list(_workers(num_threads, os.getpid()).map(alone, parts)))
    finally:
        torch.set_num_threads(num_threads)  # new workers change a part of it for all


def _join(parts: Sequence[Any]) -> Any:
    """Join tensors, or each field of named tuples."""
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts))
    fields = zip(*parts, strict=True)
    return type(parts[0])(*(None if f[0] is None else torch.cat(f) for f in fields))


@functools.cache
def _workers(num_threads: int, process: int) -> ThreadPoolExecutor:
    """Make workers that wait for more work; a forked process makes its own."""
    return ThreadPoolExecutor(
        num_threads, "dynfocus-worker", initializer=_use_one_thread
    )


def _use_one_thread() -> None:
    # the first look at its threads gives a new one the number of the whole process,
    # which must not come after its own was set
    torch.get_num_threads()
    torch.set_num_threads(1)
