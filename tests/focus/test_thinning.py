"""Thinning: as many frames as asked for, all events, evenly spread, in time order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dynfocus.focus import EventPrototypes, FocusSettings, thin_frames


def prototypes_of(num_frames: int, num_prototypes: int, seed: int = 0):
    settings = FocusSettings.paper(num_prototypes=num_prototypes, num_event_tokens=1)
    events = EventPrototypes(settings, 5, 3)
    generator = torch.Generator().manual_seed(seed)
    pooled = torch.randn(1, num_frames, 1, 5, generator=generator)
    return events.estimate(pooled, torch.ones(1, num_frames, dtype=torch.bool))


@given(st.integers(1, 60), st.integers(1, 12), st.data())
def test_any_size_is_met_exactly_with_events_that_belong_to_it(
    num_frames, num_prototypes, data
):
    num_keep = data.draw(st.integers(1, num_frames))
    whole = prototypes_of(num_frames, num_prototypes)
    frames, thinned = thin_frames(whole, num_frames, num_keep)
    assert frames.tolist() == sorted(set(frames.tolist()))
    assert len(frames) == num_keep
    assert frames.min() >= 0
    assert frames.max() < num_frames
    num_left = min(num_keep, whole.frames.shape[1])
    assert thinned.frames.shape == thinned.mask.shape == (1, num_left)
    assert thinned.features.shape[:2] == (1, num_left)
    assert thinned.assignment.shape == (1, num_keep)
    assert thinned.mask.all()
    # a centre is still a centre, and belongs to its own event
    centers = frames[thinned.frames[0]]
    assert set(centers.tolist()) <= set(whole.frames[0].tolist())
    own = thinned.assignment[0, thinned.frames[0]]
    assert own.tolist() == list(range(num_left))
    for slot, center in enumerate(centers.tolist()):
        old = whole.frames[0].tolist().index(center)
        assert torch.equal(thinned.features[0, slot], whole.features[0, old])


def test_all_centres_stay_and_the_rest_is_even():
    whole = prototypes_of(400, 8)
    frames, thinned = thin_frames(whole, 400, 40)
    centers = set(whole.frames[0].tolist())
    assert centers <= set(frames.tolist())
    others = [frame for frame in frames.tolist() if frame not in centers]
    gaps = [b - a for a, b in zip(others, others[1:], strict=False)]
    assert len(others) == 32
    assert max(gaps) - min(gaps) <= 1 + len(centers)
    assert torch.equal(thinned.features, whole.features)
    assert torch.equal(thinned.assignment[0], whole.assignment[0, frames])


def test_keeping_all_changes_nothing():
    whole = prototypes_of(20, 6)
    frames, thinned = thin_frames(whole, 20, 20)
    assert frames.tolist() == list(range(20))
    for name in ("features", "frames", "mask", "assignment"):
        assert torch.equal(getattr(thinned, name), getattr(whole, name)), name


@pytest.mark.parametrize("num_keep", [0, 21])
def test_sizes_that_cannot_be_kept_are_refused(num_keep):
    with pytest.raises(
        ValueError, match=rf"num_keep must be in \[1, 20\], got {num_keep}"
    ):
        thin_frames(prototypes_of(20, 6), 20, num_keep)


def test_frames_between_which_relevance_changes_are_kept_first():
    whole = prototypes_of(400, 8)
    relevance = torch.zeros(400)
    relevance[101:104] = 0.9
    relevance[250:300] = 0.6
    relevance[350] = 0.05  # too little to be a change
    frames, thinned = thin_frames(whole, 400, 40, relevance)
    edges = {100, 101, 103, 104, 249, 250, 299, 300}
    centers = set(whole.frames[0].tolist())
    assert len(frames) == 40
    assert edges | centers <= set(frames.tolist())
    others = sorted(set(frames.tolist()) - edges - centers)
    gaps = [b - a for a, b in zip(others, others[1:], strict=False)]
    assert max(gaps) - min(gaps) <= 2 + len(edges | centers)
    assert torch.equal(thinned.assignment[0], whole.assignment[0, frames])


def test_the_frame_that_fits_best_stays_though_nothing_changes_there():
    whole = prototypes_of(400, 8)
    relevance = torch.full((400,), 0.6)
    relevance[277] = 0.65
    frames, _ = thin_frames(whole, 400, 40, relevance)
    assert 277 in frames.tolist()
    assert 277 not in thin_frames(whole, 400, 40)[0].tolist()


def test_many_changes_take_half_of_the_places_and_the_largest_of_them():
    whole = prototypes_of(400, 8)
    relevance = torch.zeros(400)
    relevance[:200:2] = 0.5  # changes everywhere in the first half
    relevance[390] = 1.0
    frames, _ = thin_frames(whole, 400, 40, relevance)
    assert {389, 390, 391} <= set(frames.tolist())
    centers = set(whole.frames[0].tolist())
    late = [f for f in frames.tolist() if f >= 200 and f not in centers]
    assert len(frames) == 40
    assert len(late) >= 3 + 8  # the even half still reaches the second half


@given(st.integers(1, 60), st.integers(1, 12), st.data())
def test_with_relevance_any_size_is_met_exactly(num_frames, num_prototypes, data):
    num_keep = data.draw(st.integers(1, num_frames))
    seed = data.draw(st.integers(0, 9))
    relevance = torch.rand(num_frames, generator=torch.Generator().manual_seed(seed))
    whole = prototypes_of(num_frames, num_prototypes)
    frames, thinned = thin_frames(whole, num_frames, num_keep, relevance)
    assert len(frames) == num_keep == len(set(frames.tolist()))
    assert frames.tolist() == sorted(frames.tolist())
    assert (frames[thinned.frames[0]][:, None] == whole.frames[0]).any(1).all()
