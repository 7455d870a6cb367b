"""Parts of a batch side by side, each in one thread."""

import multiprocessing
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from dynfocus.focus.threads import _workers, map_parts, one_thread_for_numpy


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def note(part: Tensor) -> tuple[list[int], str, int]:
    return part.tolist(), threading.current_thread().name, torch.get_num_threads()


def test_parts_are_worked_on_in_one_thread_each_and_come_in_order() -> None:
    with torch.no_grad():
        found = list(map_parts(note, torch.arange(10), most=3))
    assert [n for part, _, _ in found for n in part] == list(range(10))
    assert [len(part) for part, _, _ in found] == [3, 3, 3, 1]
    assert all(name.startswith("dynfocus-focus") for _, name, _ in found)
    assert {threads for _, _, threads in found} == {1}
    assert torch.get_num_threads() == 2


def test_workers_that_did_nothing_before_have_one_thread_too() -> None:
    _workers.cache_clear()
    with torch.no_grad():
        list(map_parts(len, torch.arange(4), most=2))
        found = list(map_parts(note, torch.arange(4), most=2))
    assert [threads for _, _, threads in found] == [1, 1]


def test_a_small_batch_is_shared_among_all_threads() -> None:
    with torch.no_grad():
        found = list(map_parts(note, torch.arange(5), most=100))
    assert [part for part, _, _ in found] == [[0, 1, 2], [3, 4]]


def test_nothing_is_shared_where_it_cannot_be() -> None:
    main = threading.current_thread().name
    for number in (0, 1):
        with torch.no_grad():
            ((part, name, _),) = map_parts(note, torch.arange(number), most=3)
        assert (part, name) == (list(range(number)), main)
    with_gradients = list(map_parts(note, torch.arange(6), most=3))
    assert [name for _, name, _ in with_gradients] == [main, main]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        names = {name for _, name, _ in map_parts(note, torch.arange(6), most=3)}
    assert names == {main}


def test_workers_keep_the_mode_of_who_asked() -> None:
    def mode(part: Tensor) -> tuple[bool, bool]:
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    with torch.no_grad():
        assert set(map_parts(mode, torch.zeros(4), most=1)) == {(False, False)}
    with torch.inference_mode():
        assert set(map_parts(mode, torch.zeros(4), most=1)) == {(False, True)}


def test_an_error_of_a_part_is_raised_and_leaves_the_threads_as_they_were() -> None:
    def fail(part: Tensor) -> None:
        raise ValueError(f"no {part.tolist()}")

    with torch.no_grad(), pytest.raises(ValueError, match=r"no \[0, 1\]"):
        list(map_parts(fail, torch.arange(4), most=2))
    assert torch.get_num_threads() == 2
    with torch.no_grad():  # and whoever works next finds workers
        assert len(list(map_parts(note, torch.arange(4), most=2))) == 2


def _in_child(queue: Any) -> None:
    with torch.no_grad():
        queue.put([part for part, _, _ in map_parts(note, torch.arange(4), most=2)])


def test_a_forked_process_makes_its_own_workers() -> None:
    with torch.no_grad():
        list(map_parts(note, torch.arange(4), most=2))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads
        child = context.Process(target=_in_child, args=(queue,))
        child.start()
    assert queue.get(timeout=60) == [[0, 1], [2, 3]]
    child.join(timeout=60)
    assert child.exitcode == 0


def test_numpy_has_one_thread_in_workers() -> None:
    def count(part: Tensor) -> set[int]:
        with one_thread_for_numpy:
            infos = one_thread_for_numpy._controller.info()
        return {info["num_threads"] for info in infos if info["user_api"] == "blas"}

    with one_thread_for_numpy:  # whoever asked for it first
        pass
    with torch.no_grad():
        assert list(map_parts(count, torch.arange(4), most=2)) == [{1}, {1}]


def test_numpy_has_one_thread_until_the_last_one_leaves() -> None:
    def count() -> set[int]:
        infos = one_thread_for_numpy._controller.info()
        return {info["num_threads"] for info in infos if info["user_api"] == "blas"}

    before = count()
    assert before
    with one_thread_for_numpy:
        with one_thread_for_numpy:
            assert count() == {1}
        assert count() == {1}
    assert count() == before
