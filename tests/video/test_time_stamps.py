"""A damaged time stamp costs nothing, a new clock is still one."""

import warnings

import numpy as np
import pytest

from dynfocus.video import VideoReader
from dynfocus.video.time_stamps import mend_times

FPS = 25
STEP = 90_000 // FPS
TIMES = np.arange(60) / FPS


def stamps_of(data):
    """Find the time stamps of the pictures of a transport stream: place, and fields."""
    found = []
    for start in range(0, len(data), 188):
        place = start + 4
        if not data[start + 1] & 0x40:
            continue
        if data[start + 3] & 0x20:
            place += 1 + data[place]
        if data[place : place + 3] == b"\0\0\1" and data[place + 3] >> 4 == 0xE:
            found.append((place + 9, 2 if data[place + 7] & 0x40 else 1))
    return found


def flip(data, place, bit):
    """Flip one of the 33 bits of a time stamp (ISO 13818-1, 2.4.3.6)."""
    flipped = bytearray(data)
    if bit >= 30:
        flipped[place] ^= 2 << bit - 30
    elif bit >= 15:
        flipped[place + 1 : place + 3] = (
            int.from_bytes(data[place + 1 : place + 3], "big") ^ 2 << bit - 15
        ).to_bytes(2, "big")
    else:
        flipped[place + 3 : place + 5] = (
            int.from_bytes(data[place + 3 : place + 5], "big") ^ 2 << bit
        ).to_bytes(2, "big")
    return bytes(flipped)


@pytest.mark.parametrize("bit", [11, 12, 14, 16, 17, 20, 29, 32])
@pytest.mark.parametrize("encoder", [{}, {"bf": "0"}])
def test_one_flipped_bit_changes_nothing(
    bit, encoder, tmp_path, write_clip, read_numbers
):
    data = write_clip(tmp_path / "clip.ts", TIMES, encoder=encoder).read_bytes()
    places = stamps_of(data)
    assert len(places) == len(TIMES)
    path = tmp_path / "flipped.ts"
    for number in (0, 1, 23, 40, 59):
        place, num_fields = places[number]
        for field in range(num_fields):
            path.write_bytes(flip(data, place + 5 * field, bit))
            reader = VideoReader(path)
            assert reader.duration == pytest.approx(60 / FPS, abs=0.02)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                sampled = reader.sample(times=TIMES + 0.5 / FPS)
            assert read_numbers(sampled.frames) == list(range(60))
            np.testing.assert_allclose(sampled.times, TIMES, atol=0.02)


def clocks(num_packets):
    """Times of pictures of which every second one is shown before the one before."""
    dts = STEP * np.arange(num_packets)
    pts = dts + STEP * np.where(np.arange(num_packets) % 2, 2, 0)
    return pts + STEP, dts


def mend(pts, dts):
    return mend_times(pts.astype(np.int64), dts.astype(np.int64), 90_000.0)


def test_a_run_of_damaged_packets_is_put_between_its_neighbours():
    pts, dts = clocks(100)
    far_dts = dts.copy()
    far_dts[40:44] += 2**29
    mended = mend(pts, far_dts)
    np.testing.assert_allclose(mended.dts, dts, atol=2)
    np.testing.assert_array_equal(mended.pts, pts)


def test_a_clock_that_is_set_anew_stays_so():
    pts, dts = clocks(200)
    for shift in (2**29, -(2**22)):
        new_pts, new_dts = pts.copy(), dts + 2**23
        new_pts[120:] += shift
        new_dts[120:] += shift
        mended = mend(new_pts, new_dts)
        np.testing.assert_array_equal(mended.dts, new_dts)


def test_an_uneven_clock_is_left_alone():
    random = np.random.default_rng(0)
    dts = np.cumsum(random.integers(1000, 9000, 300))
    mended = mend(dts + 3000, dts)
    np.testing.assert_array_equal(mended.pts, dts + 3000)
    far = dts + 3000
    far[77] += 2**28
    mended = mend(far, dts)
    assert np.flatnonzero(~mended.is_placed).tolist() in ([], [77])
    assert abs(int(mended.pts[77]) - int(dts[77] + 3000)) < 20_000


def test_a_lost_picture_leaves_its_place_free():
    pts, dts = clocks(100)
    kept = np.arange(100) != 33
    mended = mend(pts[kept], dts[kept])
    np.testing.assert_array_equal(mended.pts, pts[kept])
    np.testing.assert_array_equal(mended.dts, dts[kept])
