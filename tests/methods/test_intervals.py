"""Intervals of a text, read as a person would."""

from __future__ import annotations

import pytest

from dynfocus.methods.intervals import (
    find_intervals,
    merge_intervals,
    write_intervals,
)


@pytest.mark.parametrize(
    ("text", "intervals"),
    [
        ("From 023 to 035.", [(23, 35)]),
        ("between 12 and 34, then 50 to 60", [(12, 34), (50, 60)]),
        ("from 5 to 9", [(5, 9)]),
        ("from 900 to 100", [(100, 900)]),
        ("from 12.5 to 30.25", [(12.5, 30.25)]),
        ("12345 to 23", [(23, 12345)]),
        ("It happens from 1:20 to 1:40.", [(80, 100)]),
        ("00:01:20 - 00:01:40.5", [(80, 100.5)]),
        ("1:02:00 until 1:03:00", [(3720, 3780)]),
        ("[12.5, 30.25]", [(12.5, 30.25)]),
        ("[[12, 15], [20, 25]]", [(12, 15), (20, 25)]),
        ('{"start": 12, "end": 15}', [(12, 15)]),
        ("it starts at 1:20 and ends at 1:40", [(80, 100)]),
        ("at the 12 second mark until the 15 second mark", [(12, 15)]),
        ("12 to 15 minutes", [(720, 900)]),
        ("1m20s to 1m40s", [(80, 100)]),
        ("1 minute 20 seconds to 2 minutes", [(80, 120)]),
        ("10%-20%", [(20, 40)]),
        ("from 10 to 20 percent", [(20, 40)]),
        ("<12 s> to <15 s>", [(12, 15)]),
        ("12s\u201315s", [(12, 15)]),
        ("in the first 10 seconds", [(0, 10)]),
        ("the last 5 s", [(195, 200)]),
        ("at 0:12 and 0:45", [(12, 12), (45, 45)]),
        ("At 1:20.", [(80, 80)]),
        ("12", [(12, 12)]),
        ("There are 3 people.", []),
        ("1:75 to 2:80", []),
        ("no idea", []),
        ("", []),
    ],
)
def test_a_reply_is_read_in_seconds(text, intervals):
    found = find_intervals(text, 200)
    assert found == [pytest.approx(one) for one in intervals]


@pytest.mark.parametrize(
    ("text", "intervals"),
    [
        ("From 023 to 035.", [(4.6, 7)]),
        ("from 5 to 9", [(1, 1.8)]),
        ("23 to 0350", [(4.6, 70)]),
        ("900 to 100", [(20, 180)]),
        ("from 0:10 to 0:20", [(10, 20)]),
    ],
)
def test_bare_numbers_may_be_steps_of_a_grid(text, intervals):
    found = find_intervals(text, 200, grid=1000)
    assert found == [pytest.approx(one) for one in intervals]


@pytest.mark.parametrize(
    ("question", "intervals"),
    [
        ("What happens at 1:20?", [(80, 80)]),
        ("What is red between 30 s and 40 s?", [(30, 40)]),
        ("What is red between 30 and 40 seconds?", [(30, 40)]),
        ("What is shown in the first 10 seconds?", [(0, 10)]),
        ("What is there at second 12?", [(12, 12)]),
        ("Who comes in around 0:07 and 0:12?", [(7, 7), (12, 12)]),
        ("What happens at 20% of the video?", [(40, 40)]),
        ("What happens after 12 seconds?", [(12, 12)]),
        ("Are there 2 to 3 people?", []),
        ("Between 5 and 9 squares, how many are red?", []),
        ("Does it last 10 seconds?", []),
        ("How many 5 s pauses are there?", []),
        ("What does the sign 3:2 say?", []),
    ],
)
def test_of_a_question_only_what_is_a_time_counts(question, intervals):
    found = find_intervals(question, 200, needs_unit=True)
    assert found == [pytest.approx(one) for one in intervals]


def test_intervals_that_touch_are_one():
    found = merge_intervals([(20, 24), (2, 6), (5, 8), (8, 9)])
    assert found == [(2, 9), (20, 24)]


def test_intervals_are_written_for_people():
    assert write_intervals([(3, 4.5), (9, 9)]) == "from 3.0 to 4.5 s and at 9.0 s"
