"""The rule ``events``: its formula, middles, what is not fit to be shown, large budgets."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from dynfocus.methods import SELECTORS, SelectorInput
from dynfocus.methods.selectors.events import _Worth

choose = SELECTORS["events"]


def frames_of(scenes: list[int], seed: int = 0, noise: float = 0.1, **more):
    """Describe scenes of so many frames, one a second, unlike each other."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(len(scenes), 40))
    points = centers.repeat(scenes, axis=0)
    points = points + noise * rng.normal(size=points.shape)
    return SelectorInput(
        times=np.arange(len(points), dtype=float),
        features=torch.from_numpy(points.astype(np.float32)),
        **more,
    )


def literal_worth(worth: _Worth, frames: tuple[int, ...]) -> float:
    """Sum up the formula, frame after frame."""
    total = 0.0
    for place, frame in enumerate(frames):
        total += worth.head[frame] + worth.tail[frame] - worth.cost[frame]
        if place == 0:
            total += worth.weight[frame]
            continue
        last = frames[place - 1]
        changed = 1 - math.exp(worth.change[last] - worth.change[frame])
        total += worth.weight[frame] * changed
        if worth.event[last] == worth.event[frame]:
            gap = worth.clock[frame] - worth.clock[last]
            total += 0.25 * (1 - math.exp(-gap)) - worth.tail[last] - worth.head[frame]
        apart = np.linalg.norm(worth.points[frame] - worth.points[last])
        total -= 0.1 * math.exp(-((apart / 0.1) ** 2))
    return total


@pytest.mark.parametrize("num_keep", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_no_other_frames_have_a_larger_sum(seed, num_keep):
    rng = np.random.default_rng(seed)
    scenes = rng.integers(1, 6, 4).tolist()
    scores = rng.random(sum(scenes))
    given = frames_of(
        scenes,
        seed,
        noise=0.4,
        quality=rng.random(sum(scenes)),
        compare=scores.__getitem__ if seed % 2 else None,
    )
    worth = _Worth.of(given, num_keep)
    every = combinations(range(given.num_frames), num_keep)
    best = max(literal_worth(worth, frames) for frames in every)
    chosen = choose(given, num_keep)
    found = literal_worth(worth, tuple(sorted(chosen.indices.tolist())))
    assert found == pytest.approx(best)
    assert (chosen.importance >= 0).all()
    assert chosen.importance[0] == 1
    assert (np.diff(chosen.importance) <= 1e-12).all()


def test_the_chance_of_a_bound_is_that_of_the_formula():
    given = frames_of([3, 4], noise=0.2)
    points = given.features.double().numpy()
    worth = _Worth.of(given, 2)
    stretch = np.linalg.norm(worth.points[0]) / np.linalg.norm(points[0])
    for frame in range(6):
        apart = np.linalg.norm(points[frame + 1] - points[frame]) * stretch
        chance = 0.95 / (1 + math.exp(-7.2 * (apart - 0.9)))
        grown = worth.change[frame + 1] - worth.change[frame]
        assert grown == pytest.approx(-math.log(1 - chance))
    assert worth.event.tolist() == [0] * 3 + [1] * 4


def test_every_event_has_its_middle_before_one_has_two():
    given = frames_of([7, 3, 11, 5], noise=0.2)
    chosen = choose(given, 4)
    assert sorted(chosen.indices.tolist()) == [3, 8, 15, 23]
    more = choose(given, 6)
    assert {np.searchsorted([7, 10, 21], i, "right") for i in more.indices[:4]} == {
        0,
        1,
        2,
        3,
    }
    # the two longest events are shown twice, each at the middles of its halves
    middles = np.array([1, 5, 8, 12, 18, 23])
    assert np.abs(np.sort(more.indices) - middles).max() <= 1


def test_frames_that_cannot_be_seen_are_passed_over():
    quality = np.ones(20)
    quality[3:7] = 0.1  # the middle of the first event
    quality[10:14] = 0.0  # an event that is black
    given = frames_of([10, 4, 6], quality=quality)
    assert sorted(choose(given, 2).indices.tolist()) in ([2, 16], [7, 16], [2, 17])
    five = choose(given, 5).indices
    assert quality[five].min() == 1
    assert len(choose(given, 20).indices) == 20


def test_a_frame_like_the_last_is_not_chosen_while_there_are_others():
    given = frames_of([8, 8], noise=0.0)
    moving = given.features.clone()
    moving[8:] += 0.3 * torch.randn(8, 40, generator=torch.Generator().manual_seed(1))
    given = SelectorInput(times=given.times, features=moving)
    frames = choose(given, 5).indices
    assert (frames < 8).sum() == 1 or (frames < 8).sum() == 2
    assert (frames >= 8).sum() >= 3


def test_an_unchanging_video_is_covered_evenly():
    given = SelectorInput(times=np.arange(120.0), features=torch.zeros(120, 5))
    frames = np.sort(choose(given, 8).indices)
    assert np.abs(frames - (np.arange(8) + 0.5) * 15).max() <= 2


def test_a_question_weighs_events_and_their_frames():
    scores = np.full(30, 0.2)
    scores[12:15] = 0.9
    given = frames_of([10, 10, 10], compare=scores.__getitem__)
    assert choose(given, 1).indices[0] in (12, 13, 14)
    chosen = choose(given, 5)
    assert chosen.indices[0] in (12, 13, 14)
    assert set((chosen.indices // 10).tolist()) == {0, 1, 2}
    assert ((chosen.indices >= 12) & (chosen.indices < 15)).sum() == 3


@pytest.mark.parametrize(
    ("num_frames", "num_keep"), [(1, 1), (2, 1), (2, 2), (1200, 300), (3000, 7)]
)
def test_any_number_of_frames_is_chosen_of_any(num_frames, num_keep):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(num_frames, 12)).astype(np.float32)
    given = SelectorInput(
        times=np.arange(num_frames) / 3, features=torch.from_numpy(points)
    )
    chosen = choose(given, num_keep)
    assert len(set(chosen.indices.tolist())) == num_keep
    assert np.array_equal(chosen.indices, choose(given, num_keep).indices)
