"""Clocks of sources that come: from 0 on, growing, whatever the source declares."""

from types import SimpleNamespace

import numpy as np
import pytest

from dynfocus.video.live_clock import ArrivalClock, MomentSampler, trusted_times


def times_of(declared, step=0.04):
    clock = ArrivalClock(step)
    return [clock.take(seconds) for seconds in declared]


def test_times_count_from_the_first_frame():
    assert times_of([90.0, 90.5, 91.25]) == [0, 0.5, 1.25]


def test_frames_without_times_follow_one_step_after_another():
    assert times_of([None, None, None], step=0.25) == [0, 0.25, 0.5]
    assert times_of([8.0, 8.5, None, 9.5]) == [0, 0.5, 1.0, 1.5]
    assert times_of([None, 700.0, 700.5], step=0.25) == [0, 0.25, 0.75]


def test_a_clock_set_anew_goes_on_where_it_was():
    assert times_of([5.0, 5.5, 6.0, 0.0, 0.5]) == [0, 0.5, 1.0, 1.5, 2.0]
    assert times_of([5.0, 5.5, 90_000.0, 90_000.5]) == [0, 0.5, 1.0, 1.5]


def test_a_long_pause_is_a_pause():
    assert times_of([0.0, 0.5, 600.0]) == [0, 0.5, 600.0]


def test_frames_that_fall_back_a_little_are_left_out():
    assert times_of([1.0, 1.5, 1.25, 1.5, 2.0]) == [0, 0.5, None, None, 1.0]


@pytest.mark.parametrize("shift", [11.7, -11.7, 5965.0, -3.0, 0.3])
def test_a_time_that_leaves_the_others_and_comes_back_is_not_believed(shift):
    times = [number * 0.04 for number in range(20)]
    times[7] += shift
    clock = ArrivalClock(0.04)
    frames = [SimpleNamespace(time=seconds) for seconds in times]
    taken = [clock.take(seconds) for _, seconds in trusted_times(frames, clock)]
    np.testing.assert_allclose(taken, np.arange(20) * 0.04)


def test_a_frame_after_a_pause_is_believed_when_the_next_follows_it():
    clock = ArrivalClock(0.5)
    times = [0.0, 0.5, 1.0, 9.0, 9.5, 0.0, 0.5, 600.0]
    frames = [SimpleNamespace(time=seconds) for seconds in times]
    taken = [clock.take(seconds) for _, seconds in trusted_times(frames, clock)]
    assert taken == [0.0, 0.5, 1.0, 9.0, 9.5, 10.0, 10.5, 610.0]


@pytest.mark.parametrize("fps", [1.0, 2.5, 30.0, 29.97])
def test_every_moment_before_the_end_is_given_once(fps):
    times = np.arange(200) / 25
    sampler = MomentSampler(fps)
    counts = [sampler.due_before(seconds) for seconds in times[1:]]
    counts.append(sampler.due_until(8.0))
    shown = np.repeat(np.arange(200), counts)
    moments = np.arange(np.ceil(8.0 * fps - 1e-6)) / fps
    wanted = np.searchsorted(times, moments + 1e-6, "right") - 1
    np.testing.assert_array_equal(shown, wanted)


def test_a_rate_must_be_above_zero():
    with pytest.raises(ValueError, match="fps must be a finite number above 0, got 0"):
        MomentSampler(0)
