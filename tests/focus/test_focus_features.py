"""What is known of a video before a question: joined, thinned, numbered."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dynfocus.focus import EventPrototypes, FrameEncoding, VideoFeatures
from dynfocus.focus.features import fill_evenly


def video_of(num_frames: int, num_prototypes: int, seed: int = 0) -> VideoFeatures:
    events = EventPrototypes(5, num_prototypes=num_prototypes, num_event_tokens=1)
    generator = torch.Generator().manual_seed(seed)
    pooled = torch.randn(1, num_frames, 1, 5, generator=generator)
    mask = torch.ones(1, num_frames, dtype=torch.bool)
    return VideoFeatures(
        pooled=pooled[0],
        spatial=torch.arange(float(num_frames)).view(-1, 1, 1).expand(-1, 2, 5),
        pts_seconds=torch.arange(num_frames).double() / 2,
        prototypes=events.estimate(pooled, mask),
    )


@given(st.integers(1, 60), st.integers(1, 12), st.data())
def test_any_size_is_met_exactly_with_events_that_belong_to_it(
    num_frames, num_prototypes, data
):
    num_keep = data.draw(st.integers(1, num_frames))
    video = video_of(num_frames, num_prototypes)
    thinned, whole = video.thin(num_keep), video.prototypes
    frames = thinned.number(torch.arange(num_keep))
    assert thinned.num_frames == num_keep == len(set(frames.tolist()))
    assert frames.tolist() == sorted(frames.tolist())
    assert thinned.spatial[:, 0, 0].tolist() == frames.tolist()
    assert (thinned.pts_seconds * 2).tolist() == frames.tolist()
    left, num_left = thinned.prototypes, min(num_keep, whole.frames.shape[1])
    assert left.frames.shape == left.mask.shape == (1, num_left)
    assert left.features.shape[:2] == (1, num_left)
    assert left.assignment.shape == (1, num_keep)
    assert left.mask.all()
    # a centre is still a centre, and belongs to its own event
    centers = frames[left.frames[0]]
    assert set(centers.tolist()) <= set(whole.frames[0].tolist())
    own = left.assignment[0, left.frames[0]]
    assert own.tolist() == list(range(num_left))
    for slot, center in enumerate(centers.tolist()):
        old = whole.frames[0].tolist().index(center)
        assert torch.equal(left.features[0, slot], whole.features[0, old])


def test_all_centres_stay_and_the_rest_is_even():
    video = video_of(400, 8)
    thinned, whole = video.thin(40), video.prototypes
    frames = thinned.number(torch.arange(40))
    centers = set(whole.frames[0].tolist())
    assert centers <= set(frames.tolist())
    others = [frame for frame in frames.tolist() if frame not in centers]
    gaps = [b - a for a, b in zip(others, others[1:], strict=False)]
    assert len(others) == 32
    assert max(gaps) - min(gaps) <= 1 + len(centers)
    assert torch.equal(thinned.prototypes.features, whole.features)
    assert torch.equal(thinned.prototypes.assignment[0], whole.assignment[0, frames])


@pytest.mark.parametrize("max_frames", [None, 20, 21])
def test_a_limit_that_does_not_bind_changes_nothing(max_frames):
    video = video_of(20, 6)
    assert video.thin(max_frames) is video


def test_frames_thinned_twice_keep_their_first_numbers():
    once = video_of(100, 5).thin(40)
    twice = once.thin(20)
    numbers = twice.number(torch.arange(20))
    assert (twice.pts_seconds * 2).tolist() == numbers.tolist()


def test_sizes_that_cannot_be_kept_are_refused():
    for num_keep in (0, 21):
        with pytest.raises(ValueError, match=rf"in \[1, 20\], got {num_keep}"):
            fill_evenly(torch.zeros(20, dtype=torch.bool), num_keep)


def test_windows_are_joined_with_what_they_hold():
    parts = [
        FrameEncoding(torch.ones(n, 4, 3), torch.ones(n, 6, 3), torch.ones(n, 9, 3))
        for n in (4, 2)
    ]
    whole = VideoFeatures.join(parts, [0.0, 1, 2, 3, 4, 5])
    assert whole.pooled.shape == (6, 4, 3)
    assert whole.spatial.shape == (6, 6, 3)
    assert whole.patches.shape == (6, 9, 3)
    assert whole.pts_seconds.tolist() == [0, 1, 2, 3, 4, 5]
    bare = VideoFeatures.join([FrameEncoding(None, torch.ones(2, 9, 3))], [0.0, 1.0])
    assert bare.pooled is None
    with pytest.raises(ValueError, match="at least one frame, got none"):
        VideoFeatures.join([], [])
