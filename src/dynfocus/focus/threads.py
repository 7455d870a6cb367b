"""Work on parts of a batch side by side, each in one thread."""

import functools
import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

Result = TypeVar("Result")


def map_parts(
    work: Callable[[Tensor], Result], x: Tensor, most: int
) -> Iterator[Result]:
    """Apply ``work`` to parts of ``x``, and give the results in order as they come.

    On a processor, where no gradients are wanted, as many parts are worked on at once
    as torch has threads. Many small operations each of which is split among threads,
    as torch does, lose a third of what the threads could do.

    Args:
        work: What to do; it may not change what it shares with other parts.
        x: The batch, shape ``[B, ...]``.
        most: Most entries of a part.
    """
    num_threads = torch.get_num_threads()
    if (
        x.device.type != "cpu"
        or torch.is_grad_enabled()
        or torch.is_autocast_enabled("cpu")  # workers would not know of it
    ):
        num_threads = 1
    num_parts = max(1, math.ceil(len(x) / most), min(num_threads, len(x)))
    parts = torch.split(x, math.ceil(len(x) / num_parts) or 1)
    if num_threads == 1 or len(parts) == 1:
        yield from map(work, parts)
        return
    inference = torch.is_inference_mode_enabled()

    def alone(part: Tensor) -> Result:
        with torch.inference_mode(inference), torch.no_grad():
            return work(part)

    try:
        with one_thread_for_numpy:  # here: threadpoolctl lets only one thread decide
            yield from _workers(num_threads).map(alone, parts)
    finally:
        torch.set_num_threads(num_threads)  # workers change a part of it for all


@functools.cache
def _workers(num_threads: int) -> ThreadPoolExecutor:
    """Make workers for which torch uses one thread each; they wait for more work."""
    return ThreadPoolExecutor(
        num_threads,
        "dynfocus-focus",
        initializer=_use_one_thread,
    )


def _use_one_thread() -> None:
    # the first look at its threads gives a new one the number of the whole process,
    # which must not come after its own was set
    torch.get_num_threads()
    torch.set_num_threads(1)


class _OneThreadForNumpy:
    """Makes numpy use one thread for products, as long as anyone is within."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_within = 0
        self._limits: Any = None

    @functools.cached_property
    def _controller(self) -> ThreadpoolController:
        return ThreadpoolController()

    def __enter__(self) -> None:
        with self._lock:
            if not self._num_within:
                self._limits = self._controller.limit(limits=1, user_api="blas")
            self._num_within += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._num_within -= 1
            if not self._num_within:
                self._limits.restore_original_limits()


one_thread_for_numpy = _OneThreadForNumpy()


def _forget() -> None:
    """Begin anew in a forked process, where threads do not live on."""
    _workers.cache_clear()
    one_thread_for_numpy.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
