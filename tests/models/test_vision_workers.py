"""Parts of a batch side by side, each in one thread."""

import multiprocessing
import threading
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from dynfocus.focus import SpatialPrototypes
from dynfocus.models.vision import map_parts


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_parts_are_worked_on_in_one_thread_each_and_come_in_order() -> None:
    seen = []

    def note(part: Tensor) -> Tensor:
        name = threading.current_thread().name
        seen.append((len(part), name[:8], torch.get_num_threads()))
        return part + 1

    for _ in range(2):  # workers that are new, and those that wait
        with torch.no_grad():
            assert torch.equal(map_parts(note, torch.arange(5)), torch.arange(1, 6))
    assert sorted(n for n, *_ in seen) == [2, 2, 3, 3]
    assert all(rest == ["dynfocus", 1] for _, *rest in seen)
    assert torch.get_num_threads() == 2


def test_spatial_prototypes_are_those_of_one_thread() -> None:
    patches = torch.randn(7, 36, 12, generator=torch.Generator().manual_seed(0))
    module = SpatialPrototypes((5, 2), (3, 2))
    wanted = torch.cat([module(frame[None]) for frame in patches])
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode():
            torch.testing.assert_close(map_parts(module, patches), wanted)


class Pair(NamedTuple):
    twice: Tensor
    absent: None


def test_fields_of_named_tuples_are_joined() -> None:
    with torch.no_grad():
        found = map_parts(lambda part: Pair(2 * part, None), torch.arange(5))
    assert found.twice.tolist() == [0, 2, 4, 6, 8]
    assert found.absent is None


def test_nothing_is_split_where_it_cannot_be() -> None:
    names = []

    def note(part: Tensor) -> Tensor:
        names.append((len(part), threading.current_thread().name))
        return part

    with torch.no_grad():
        map_parts(note, torch.arange(0))
        map_parts(note, torch.arange(1))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            map_parts(note, torch.arange(6))
    map_parts(note, torch.arange(7))  # with gradients
    main = threading.current_thread().name
    assert names == [(0, main), (1, main), (6, main), (7, main)]


def test_workers_keep_the_mode_of_who_asked() -> None:
    def mode(part: Tensor) -> Tensor:
        flags = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        return torch.tensor([flags] * len(part))

    with torch.no_grad():
        assert not map_parts(mode, torch.zeros(4)).any()
    with torch.inference_mode():
        assert map_parts(mode, torch.zeros(4)).tolist() == [[False, True]] * 4


def test_an_error_of_a_part_is_raised_and_leaves_the_threads_as_they_were() -> None:
    def fail(part: Tensor) -> Tensor:
        raise ValueError(f"no {part.tolist()}")

    with torch.no_grad():
        with pytest.raises(ValueError, match=r"no \[0, 1\]"):
            map_parts(fail, torch.arange(4))
        assert torch.equal(map_parts(torch.neg, torch.ones(4)), -torch.ones(4))
    assert torch.get_num_threads() == 2


def _in_child(queue: Any) -> None:
    with torch.no_grad():
        queue.put(map_parts(torch.neg, torch.arange(4)).tolist())


def test_a_forked_process_makes_its_own_workers() -> None:
    with torch.no_grad():
        map_parts(torch.neg, torch.arange(4))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads
        child = context.Process(target=_in_child, args=(queue,))
        child.start()
    assert queue.get(timeout=60) == [0, -1, -2, -3]
    child.join(timeout=60)
    assert child.exitcode == 0
