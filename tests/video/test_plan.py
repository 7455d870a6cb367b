import re

import numpy as np
import pytest

from dynfocus.video.plan import wanted_times


def test_a_rate_begins_at_zero_and_stays_below_the_duration():
    np.testing.assert_allclose(wanted_times(2.0, fps=2), [0, 0.5, 1, 1.5])
    np.testing.assert_allclose(wanted_times(2.01, fps=1), [0, 1, 2])
    np.testing.assert_allclose(wanted_times(0.3, fps=0.1), [0])
    assert len(wanted_times(0.1 * 3, fps=10)) == 3


def test_uniform_moments_are_the_centres_of_equal_stretches():
    np.testing.assert_allclose(wanted_times(8.0, num_frames=4), [1, 3, 5, 7])
    np.testing.assert_allclose(wanted_times(8.0, num_frames=1), [4])


def test_without_a_plan_there_is_one_moment_a_second():
    np.testing.assert_allclose(wanted_times(3.5), [0, 1, 2, 3])


def test_a_bounded_rate_becomes_uniform():
    np.testing.assert_allclose(wanted_times(8.0, fps=10, max_frames=4), [1, 3, 5, 7])
    np.testing.assert_allclose(wanted_times(4.0, max_frames=4), [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"fps": 0}, "fps must be a finite number above 0, got 0."),
        ({"fps": -1.5}, "fps must be a finite number above 0, got -1.5."),
        ({"fps": float("nan")}, "fps must be a finite number above 0, got nan."),
        ({"fps": float("inf")}, "fps must be a finite number above 0, got inf."),
        ({"fps": "2"}, "fps must be a number above 0, got '2'."),
        ({"num_frames": 0}, "num_frames must be a whole number of at least 1, got 0."),
        (
            {"num_frames": 2.5},
            "num_frames must be a whole number of at least 1, got 2.5.",
        ),
        ({"max_frames": 0}, "max_frames must be a whole number of at least 1, got 0."),
        (
            {"times": [1.0, -0.5]},
            "times must lie between 0 and the video's duration of 10.000 s, got -0.5.",
        ),
        (
            {"times": [10.5]},
            "times must lie between 0 and the video's duration of 10.000 s, got 10.5.",
        ),
        (
            {"times": [float("nan")]},
            "times must lie between 0 and the video's duration of 10.000 s, got nan.",
        ),
        (
            {"times": []},
            "times must be a flat list of at least one time in seconds, got shape [0].",
        ),
        (
            {"fps": 1, "num_frames": 3},
            "Give one of fps, num_frames and times, got fps and num_frames.",
        ),
        (
            {"num_frames": 9, "max_frames": 8},
            "9 frames are wanted but max_frames is 8; ask for fewer or raise max_frames.",
        ),
    ],
)
def test_an_impossible_plan_is_refused(plan, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        wanted_times(10.0, **plan)
