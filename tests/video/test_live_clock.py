"""Clocks of sources that come: from 0 on, growing, whatever the source declares."""

import numpy as np
import pytest

from dynfocus.video.live_clock import ArrivalClock, MomentSampler


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
