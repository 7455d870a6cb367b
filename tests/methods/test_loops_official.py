"""The published sampling, against what the published functions give when they are run."""

from __future__ import annotations

import pytest

from dynfocus.methods.loops.official import (
    dense_frames,
    low_frames,
    merge_frames,
    read_fraction,
    read_segments,
    write_time,
)


@pytest.mark.parametrize(
    ("num_bins", "written"),
    [
        (100, ["00", "05", "07", "50", "99", "99"]),
        (1000, ["000", "050", "072", "500", "999", "999"]),
    ],
)
def test_times_are_written_as_bins(num_bins, written):
    seconds = [0, 5, 7.2, 50, 99.9, 100]
    assert [write_time(one, 100, num_bins) for one in seconds] == written


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("From 023 to 035.", [("023", "035")]),
        ("between 12 and 34, then 50 to 60", [("12", "34"), ("50", "60")]),
        ("23 to 0350", [("23", "0350")]),
        ("from 5 to 9", []),
        ("from 900 to 100", []),
        ("from 12.5 to 30.25", []),
        ("12345 to 23", []),
        ("1000 to 2000", [("1000", "2000")]),
    ],
)
def test_segments_are_read_as_published(text, segments):
    assert read_segments(text) == segments


@pytest.mark.parametrize(
    ("digits", "fraction"),
    [("023", 0.023), ("23", 0.23), ("0350", 0.035), ("1000", 0.1), ("2000", 0.2)],
)
def test_digits_are_those_behind_a_point(digits, fraction):
    assert read_fraction(digits) == pytest.approx(fraction)


@pytest.mark.parametrize(("num_frames", "count"), [(3001, 101), (3049, 102)])
def test_low_frames_may_exceed_their_cap(num_frames, count):
    assert len(low_frames(num_frames, 30, max_frames=100)) == count


def test_low_frames_are_one_a_second():
    assert low_frames(95, 30) == [0, 30, 60, 90]
    assert low_frames(3, 30) == [0]
    assert low_frames(3, 0.4) == [0, 1, 2]


def test_dense_frames_hold_both_ends_or_every_frame():
    assert dense_frames([("10", "90")], 100, num_dense=5) == [10, 30, 50, 70, 90]
    assert dense_frames([("10", "13")], 100) == [10, 11, 12, 13]
    assert dense_frames([("98", "99")], 50) == [49]
    assert dense_frames([("40", "42"), ("10", "11")], 100) == [40, 41, 42, 10, 11]


def test_merging_keeps_duplicates_and_does_not_sort():
    merged = merge_frames([0, 10, 20, 30], [10, 12, 14])
    assert merged == ([0, 10, 10, 12, 14, 20, 30], [0, 1, 5, 6], [2, 3, 4])
    assert merge_frames([0, 25], [20, 24, 2, 6])[0] == [0, 20, 24, 2, 6, 25]
