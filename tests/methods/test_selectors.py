"""What all selectors have in common: the registry, counts, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynfocus.methods import (
    SELECTORS,
    Selection,
    Selector,
    SelectorInput,
    by_scores,
    find_selector,
)
from dynfocus.methods.selectors.interface import min_max


def frames(num_frames: int = 30, with_scores: bool = True) -> SelectorInput:
    rng = np.random.default_rng(3)
    scores = rng.random(num_frames)
    return SelectorInput(
        times=np.arange(num_frames) / 2,
        features=torch.from_numpy(rng.normal(size=(num_frames, 6)).astype(np.float32)),
        compare=scores.__getitem__ if with_scores else None,
    )


@pytest.mark.parametrize("name", sorted(SELECTORS))
@pytest.mark.parametrize("num_keep", [1, 2, 9, 30, 40])
@pytest.mark.parametrize("with_scores", [True, False])
def test_every_selector_gives_different_frames_and_their_scale(
    name, num_keep, with_scores
):
    selector, given = SELECTORS[name], frames(with_scores=with_scores)
    if selector.needs_scorer and not with_scores:
        with pytest.raises(ValueError, match="without a scorer; give one"):
            selector(given, num_keep)
        return
    chosen = selector(given, num_keep)
    count = 30 if selector.rest != "dropped" else min(30, num_keep)
    assert sorted(set(chosen.indices.tolist())) == sorted(chosen.indices.tolist())
    assert chosen.indices.shape == chosen.scale.shape == chosen.importance.shape
    assert len(chosen.indices) == count
    assert ((chosen.importance >= 0) & (chosen.importance <= 1)).all()
    large = chosen.scale == 1
    assert large.sum() == (min(30, num_keep) if selector.rest == "small" else count)
    assert not np.diff(large.astype(int)).clip(min=0).any()  # large ones come first
    assert np.array_equal(chosen.indices, selector(given, num_keep).indices)


def test_even_frames_are_the_middles_of_equal_stretches():
    chosen = SELECTORS["uniform"](frames(with_scores=False), 6)
    assert sorted(chosen.indices.tolist()) == [2, 7, 12, 17, 22, 27]
    assert np.diff(np.sort(chosen.indices[:3])).min() >= 10  # the first are spread
    given = frames()
    scored = SELECTORS["uniform"](given, 6)
    assert sorted(scored.indices.tolist()) == [2, 7, 12, 17, 22, 27]
    assert (np.diff(given.score()[scored.indices]) <= 0).all()


def test_the_best_scored_are_those_of_the_largest_scores():
    given = frames()
    chosen = SELECTORS["ranked"](given, 4)
    assert chosen.indices.tolist() == np.argsort(-given.score())[:4].tolist()
    assert chosen.importance[0] == 1


def test_scores_are_asked_for_where_they_are_wanted():
    asked: list[int] = []

    def compare(indices: np.ndarray) -> np.ndarray:
        asked.extend(indices.tolist())
        return indices / 10

    given = SelectorInput(
        times=np.arange(9.0), features=torch.zeros(9, 1), compare=compare
    )
    assert given.score(np.array([2, 5])).tolist() == [0.2, 0.5]
    assert asked == [2, 5]
    SELECTORS["uniform"](given, 3)
    assert asked == [2, 5, 1, 4, 7]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (Selection.of(np.array([1, 1])), r"2 different frames of 30, .* \[1, 1\] with"),
        (Selection.of(np.array([1])), r"must choose 2 different .* got frames \[1\]"),
        (
            Selection.of(np.array([1, 30])),
            r"frames \[1, 30\] with .*; correct its rule",
        ),
        (Selection.of(np.array([1, 2]), scale=0.0), r"with scales \[0.0, 0.0\]"),
    ],
)
def test_a_rule_that_chooses_wrongly_is_named(chosen, message):
    selector = Selector(choose=lambda given, num_keep: chosen)
    with pytest.raises(ValueError, match=message):
        selector(frames(), 2)


def test_nothing_to_choose_is_refused():
    selector = SELECTORS["uniform"]
    with pytest.raises(ValueError, match="num_keep must be at least 1, got 0"):
        selector(frames(), 0)
    empty = SelectorInput(times=np.empty(0), features=torch.empty(0, 3))
    with pytest.raises(ValueError, match="no frames to choose from"):
        selector(empty, 1)


def test_scores_that_are_no_numbers_are_refused():
    given = SelectorInput(
        times=np.arange(3.0),
        features=torch.zeros(3, 1),
        compare=lambda indices: np.where(indices == 1, np.nan, 0.5),
    )
    with pytest.raises(ValueError, match="must be finite, got nan for frame 1"):
        by_scores(lambda scores, num_keep: np.arange(num_keep))(given, 2)


def test_a_name_that_is_none_is_refused_with_the_known_ones():
    known = "aks, bolt, dynfocus, events, none, ranked, uniform"
    with pytest.raises(ValueError, match=f"method must be one of {known}, got 'magic'"):
        find_selector("magic", has_scorer=True)
    with pytest.raises(ValueError, match="rule 'bolt' chooses frames by"):
        find_selector("bolt", "rule", has_scorer=False)


def test_equal_scores_become_what_is_said():
    assert min_max(np.array([0.3, 0.3])).tolist() == [1, 1]
    assert min_max(np.array([0.3, 0.3]), equal=0.0).tolist() == [0, 0]
    assert min_max(np.array([-2.0, 0.0, 2.0])).tolist() == [0, 0.5, 1]
    assert min_max(np.array([])).tolist() == []
