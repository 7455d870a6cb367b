"""A video that is still coming: the same answer, bounded memory, two threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from dynfocus.index import VideoIndex
from dynfocus.video import SampledFrames

QUESTION = "what is on the red square ?"


def push_in_chunks(session, frames, times, seed, ask_between=False):
    generator = np.random.default_rng(seed)
    start = 0
    while start < len(frames):
        stop = start + int(generator.integers(1, 24))
        session.push(frames[start:stop], times[start:stop])
        start = stop
        if ask_between and generator.random() < 0.3:
            session.ask(QUESTION, max_new_tokens=1)


def assert_same_features(one, other):
    for name in ("pooled", "spatial", "pts_seconds"):
        torch.testing.assert_close(
            getattr(one, name), getattr(other, name), rtol=0, atol=0
        )
    for name in ("features", "frames", "mask", "assignment"):
        ours, theirs = (getattr(v.prototypes, name) for v in (one, other))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize(("max_frames", "seed"), [(None, 0), (40, 1), (37, 2)])
def test_what_fits_is_answered_as_the_whole_video(
    focused, make_frames, max_frames, seed
):
    frames, times = make_frames(37), np.linspace(3, 20, 37)
    session = focused.session(max_frames=max_frames)
    push_in_chunks(session, frames, times, seed, ask_between=True)
    whole = SampledFrames(frames, times)
    wanted = focused.ask(whole, QUESTION, max_new_tokens=5)
    answer = session.ask(QUESTION, max_new_tokens=5)
    assert (answer.text, answer.tokens) == (wanted.text, wanted.tokens)
    assert answer.frames == wanted.frames
    assert_same_features(session.index().features, focused.index(whole).features)
    assert (session.num_frames, session.num_pushed, session.stride) == (37, 37, 1)


def test_patches_are_held_for_a_model_that_reads_them(
    make_model, make_processor, make_frames
):
    from dynfocus.models import VideoModel
    from dynfocus.models.feature_backbone import FeatureBackbone

    model = make_model(text_side="frame_queries")
    focused = VideoModel(FeatureBackbone(model, make_processor(), "tiny"))
    session = focused.session(max_frames=8)
    session.push(make_frames(7))
    wanted = focused.ask(make_frames(7), QUESTION, max_new_tokens=4)
    assert session.ask(QUESTION, max_new_tokens=4).frames == wanted.frames
    session.push(make_frames(4))
    assert session.index().features.patches.shape[0] == 6


def test_frames_without_times_are_counted_from_zero(focused, make_frames):
    frames = make_frames(5)
    session = focused.session(fps=3.0)
    session.push(frames[0])
    session.push(frames[1:])
    wanted = focused.index(frames, fps=3.0)
    assert_same_features(session.index().features, wanted.features)
    assert session.index().duration == wanted.duration
    assert session.seen_seconds == pytest.approx(5 / 3)


def test_what_does_not_fit_is_every_second_then_every_fourth(focused, make_frames):
    frames = make_frames(70)
    session = focused.session(max_frames=20)
    held = []
    for frame in frames:
        session.push(frame)
        held.append((session.num_frames, session.stride))
    assert held[19:22] == [(20, 1), (11, 2), (11, 2)]
    assert held[39:41] == [(20, 2), (11, 4)]
    assert held[-1] == (18, 4)
    index = session.index()
    assert index.features.pts_seconds.tolist() == [float(4 * i) for i in range(18)]
    assert session.seen_seconds == index.duration == 70
    whole = focused.index(frames).features
    kept = torch.arange(0, 70, 4)
    assert torch.equal(index.features.spatial, whole.spatial[kept])
    groups = [whole.pooled[i : i + 4].double().mean(0).float() for i in range(0, 70, 4)]
    torch.testing.assert_close(index.features.pooled, torch.stack(groups))


@pytest.mark.parametrize("max_frames", [1, 7, 16])
def test_what_is_held_does_not_depend_on_how_frames_came(
    focused, make_frames, max_frames
):
    frames, times = make_frames(35), np.arange(35.0)
    indexes = []
    for seed in (None, 0, 1):
        session = focused.session(max_frames=max_frames)
        if seed is None:
            session.push(frames, times)
        else:
            push_in_chunks(session, frames, times, seed, ask_between=True)
        indexes.append(session.index())
        assert session.num_frames == indexes[-1].num_frames <= max_frames
    for index in indexes[1:]:
        assert_same_features(indexes[0].features, index.features)


def test_memory_is_bounded_over_thousands_of_frames(focused, make_frames, monkeypatch):
    sizes = []

    def encode(pixels):
        sizes.append(len(pixels))
        return torch.zeros(len(pixels), 4, 32), torch.zeros(len(pixels), 6, 32), None

    monkeypatch.setattr(focused.model, "encode_frames", encode)
    session = focused.session(max_frames=50, window=8, keeps_thumbnails=True)
    frames = make_frames(100)
    for _ in range(20):
        session.push(frames)
        memory = session._memory
        for rows in (memory._sums, *memory._own.values()):
            assert len(rows) == memory.num_frames <= 50
            for row in rows:  # alone, and no view of the window that it came in
                assert row.untyped_storage().nbytes() == row.nbytes
        assert sum(len(part.times) for part in session._waiting) < 8
    assert max(sizes) == 8
    assert (session.num_pushed, session.stride, session.num_frames) == (2000, 64, 32)


def test_prototypes_are_kept_up_to_date_at_a_bounded_cost(
    focused, make_frames, monkeypatch
):
    session = focused.session(max_frames=32)
    assert session.prototypes is None
    estimates = []
    events = focused.model.focus_network.event_prototypes
    estimate = events.estimate

    def count(pooled, mask):
        estimates.append(pooled.shape[1])
        return estimate(pooled, mask)

    monkeypatch.setattr(events, "estimate", count)
    for frame in make_frames(200):
        session.push(frame)
    assert session.prototypes.mask.sum() == 5
    assert 8 <= len(estimates) <= 13
    index = session.index()
    num_estimates = len(estimates)
    again = session.index()
    session.ask(QUESTION, max_new_tokens=1)
    assert len(estimates) == num_estimates  # nothing came, nothing is estimated
    assert_same_features(index.features, again.features)


def test_an_index_takes_the_place_of_a_path(focused, make_frames):
    session = focused.session(keeps_thumbnails=True)
    session.push(make_frames(9, size=56))
    index = session.index()
    assert isinstance(index, VideoIndex)
    assert index.thumbnails.shape == (9, 56, 56, 3)
    answer = focused.ask(index, QUESTION, max_new_tokens=3, max_frames=4)
    assert len(answer.frames) == 4
    session.push(make_frames(3, size=56))
    assert index.num_frames == 9  # a copy


def test_turns_are_kept_where_wanted(focused, make_frames):
    session = focused.session(keeps_turns=True, max_video_tokens=30)
    session.push(make_frames(4))
    first = session.ask(QUESTION, max_new_tokens=3)
    session.push(make_frames(4))
    second = session.ask("where ?", max_new_tokens=3)
    assert [turn.answer for turn in session.turns] == [first.text, second.text]
    assert max(first.tokens, second.tokens) <= 30
    assert len(second.frames) > len(first.frames)
    forgetful = focused.session()
    forgetful.push(make_frames(4))
    forgetful.ask(QUESTION, max_new_tokens=1)
    assert forgetful.turns == []


def test_one_thread_pushes_while_another_asks(focused, make_frames):
    frames = make_frames(60)
    session = focused.session(max_frames=24)
    session.push(frames[:1])
    failures = []

    def watch():
        try:
            for start in range(1, 60, 3):
                session.push(frames[start : start + 3])
        except ValueError as error:
            failures.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    answers = [session.ask(QUESTION, max_new_tokens=2)]
    while thread.is_alive():
        answers.append(session.ask(QUESTION, max_new_tokens=2))
    thread.join()
    assert not failures
    for answer in answers:
        steps = np.diff([frame.time for frame in answer.frames])
        assert len(answer.frames) <= 24
        assert len(set(steps.tolist())) <= 1  # evenly spread: a whole snapshot
    alone = focused.session(max_frames=24)
    alone.push(frames)
    assert_same_features(session.index().features, alone.index().features)


def test_wrong_pushes_are_refused_and_change_nothing(focused, make_frames):
    session = focused.session()
    with pytest.raises(ValueError, match="has seen no frame yet; push at least one"):
        session.ask(QUESTION)
    with pytest.raises(ValueError, match=r"got float64 of shape \[2, 4, 4, 3\]"):
        session.push(np.zeros((2, 4, 4, 3)))
    with pytest.raises(ValueError, match=r"one entry a frame \(2\), got shape \[3\]"):
        session.push(make_frames(2), [0, 1, 2])
    with pytest.raises(ValueError, match="finite numbers of seconds, got nan"):
        session.push(make_frames(2), [0, np.nan])
    with pytest.raises(ValueError, match="must not fall, got 1 after 2"):
        session.push(make_frames(2), [2, 1])
    assert (session.num_pushed, session.seen_seconds) == (0, 0)
    session.push(make_frames(2), [4, 5])
    with pytest.raises(ValueError, match="must not fall, got 3 after 5"):
        session.push(make_frames(1)[0], 3.0)
    with pytest.raises(ValueError, match=r"one size, got \(30, 30\) after \(28, 28\)"):
        session.push(make_frames(1, size=30))
    with pytest.raises(ValueError, match="the question is empty"):
        session.ask(" ")
    assert session.num_pushed == session.num_frames == 2


def test_wrong_settings_are_refused(focused):
    for name in ("max_frames", "max_video_tokens"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            focused.session(**{name: 0})
    with pytest.raises(ValueError, match="window must be at least 1, got 0"):
        focused.session(window=0)
    with pytest.raises(ValueError, match="fps must be a finite number above 0, got 0"):
        focused.session(fps=0.0)
