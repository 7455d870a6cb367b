"""What all selectors have in common: the registry, counts, refusals."""

from __future__ import annotations

from dataclasses import replace

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
    assert sorted(set(chosen.indices.tolist())) == sorted(chosen.indices.tolist())
    assert chosen.indices.shape == chosen.scale.shape == chosen.importance.shape
    assert ((chosen.importance >= 0) & (chosen.importance <= 1)).all()
    large = chosen.scale == 1
    assert not np.diff(large.astype(int)).clip(min=0).any()  # large ones come first
    assert np.array_equal(chosen.indices, selector(given, num_keep).indices)
    if selector.counts == "area":
        area = (chosen.scale**2).sum()
        assert min(30, num_keep) - 1 < area <= min(30, num_keep) + 1e-6
        return
    count = 30 if selector.rest != "dropped" else min(30, num_keep)
    assert len(chosen.indices) == count
    assert large.sum() == (min(30, num_keep) if selector.rest == "small" else count)


def odd_input(kind: str) -> SelectorInput:
    """Give what a selector may meet: one frame, the same one everywhere, wrong scores."""
    count = 1 if kind == "one frame" else 12
    rng = np.random.default_rng(5)
    features = torch.from_numpy(rng.normal(size=(count, 4)).astype(np.float32))
    scores = np.full(count, 0.3) if kind == "equal scores" else rng.random(count)
    if kind == "the same frame":
        features, scores = features[:1].expand(count, 4), np.zeros(count)
    if kind in ("nan", "inf"):
        scores[[2, 5, 8]] = float(kind)
    return SelectorInput(
        times=np.arange(count) * 1.0, features=features, compare=scores.__getitem__
    )


@pytest.mark.parametrize("name", sorted(SELECTORS))
def test_every_selector_bears_odd_input_and_refuses_wrong_input(name):
    selector = SELECTORS[name]
    for kind in ("one frame", "the same frame", "equal scores"):
        given = odd_input(kind)
        for num_keep in (1, 3, 12, 50):
            chosen = selector(given, num_keep)
            most = given.num_frames if selector.rest != "dropped" else num_keep
            assert (chosen.scale**2).sum() + 1e-9 >= 1
            assert (chosen.scale**2).sum() <= most + 1e-6
            if num_keep >= given.num_frames:  # a budget that does not bind
                assert sorted(chosen.indices.tolist()) == list(range(given.num_frames))
                assert (chosen.scale == 1).all()
    with pytest.raises(ValueError, match="num_keep must be at least 1, got 0"):
        selector(odd_input("equal scores"), 0)
    for kind in ("nan", "inf"):
        if selector.needs_scorer:
            with pytest.raises(ValueError, match=f"must be finite, got {kind} for"):
                selector(odd_input(kind), 9)


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


def test_an_area_that_is_too_large_is_refused():
    many = Selection.of(np.arange(9), scale=0.5)
    selector = Selector(choose=lambda given, num_keep: many, counts="area")
    assert len(selector(frames(), 3).indices) == 9
    with pytest.raises(ValueError, match="must choose an area of at most 2 in diff"):
        selector(frames(), 2)


def test_vectors_are_the_scorers_or_how_frames_differ_from_their_mean():
    given = frames()
    vectors = given.directions()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    assert abs((vectors @ vectors.T).mean()) < 0.1
    own = np.eye(30)[:, :4] * 2 + 1e-3
    scored = replace(given, describe=own.__getitem__)
    np.testing.assert_allclose(scored.directions()[0], own[0] / np.linalg.norm(own[0]))
    alike = replace(given, features=torch.ones(30, 6)).directions()
    np.testing.assert_allclose(alike @ alike.T, 1)


def test_random_numbers_belong_to_the_question_and_the_video():
    given = replace(frames(), question="Who?")
    drawn = given.generator().random(3).tolist()
    assert replace(given).generator().random(3).tolist() == drawn
    for other in (
        replace(given, question="When?"),
        replace(given, times=given.times + 1),
    ):
        assert other.generator().random(3).tolist() != drawn


def test_scores_that_are_no_numbers_are_refused():
    given = SelectorInput(
        times=np.arange(3.0),
        features=torch.zeros(3, 1),
        compare=lambda indices: np.where(indices == 1, np.nan, 0.5),
    )
    with pytest.raises(ValueError, match="must be finite, got nan for frame 1"):
        by_scores(lambda scores, num_keep: np.arange(num_keep))(given, 2)


def test_a_name_that_is_none_is_refused_with_the_known_ones():
    known = ", ".join(sorted(SELECTORS))
    with pytest.raises(ValueError, match=f"method must be one of {known}, got 'magic'"):
        find_selector("magic", has_scorer=True)
    with pytest.raises(ValueError, match="rule 'bolt' chooses frames by"):
        find_selector("bolt", "rule", has_scorer=False)


def test_equal_scores_become_what_is_said():
    assert min_max(np.array([0.3, 0.3])).tolist() == [1, 1]
    assert min_max(np.array([0.3, 0.3]), equal=0.0).tolist() == [0, 0]
    assert min_max(np.array([-2.0, 0.0, 2.0])).tolist() == [0, 0.5, 1]
    assert min_max(np.array([])).tolist() == []
