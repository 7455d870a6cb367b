"""Videos that begin later on the clock, and their words with them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dynfocus.focus import VideoFeatures
from dynfocus.training.clock_shift import (
    ClockShift,
    draw_shift,
    shift_clock,
    shift_words,
    times_in,
)
from dynfocus.training.dataset import ConversationDataset, Layout

ANSWER = "from 00:57 to 01:02"


def times(last: float) -> np.ndarray:
    return np.append(np.arange(0.0, last, 1.0), last)


def later(seconds: int) -> ClockShift:
    return ClockShift((0.0,), (seconds,))


def test_half_of_the_videos_move_and_none_beyond_the_limit():
    rng = np.random.default_rng(0)
    shifts = [draw_shift(times(59.5), rng, most_gaps=0) for _ in range(400)]
    seconds = [sum(shift.ahead) for shift in shifts]
    assert 160 < seconds.count(0) < 240
    assert max(seconds) > 3300
    assert max(seconds) + 60 < 3600
    assert all(len(shift.starts) < 2 for shift in shifts)


@pytest.mark.parametrize("last", [3599.0, 3600.0, 5000.0])
def test_a_video_without_room_stays(last):
    rng = np.random.default_rng(0)
    assert {draw_shift(times(last), rng).starts for _ in range(20)} == {()}


def test_a_clock_jumps_between_frames_but_not_within_a_stretch():
    rng = np.random.default_rng(0)
    frames = times(40.0)
    whole = [(10, 14), (30, 31)]
    shifts = [draw_shift(frames, rng, whole, most_gaps=6) for _ in range(300)]
    moved = [shift for shift in shifts if shift.starts]
    counts = {len(shift.starts) for shift in moved}
    assert counts == set(range(1, 8))
    gaps = {start for shift in moved for start in shift.starts[1:]}
    assert gaps == set(range(1, 41)) - set(range(10, 16)) - set(range(30, 33))
    for shift in moved:
        shown = frames + shift.at(frames)
        assert np.all(np.diff(shown) >= 1)
        assert shown[-1] < 3600
        for first, last in whole:
            assert len(set(shift.at(np.arange(first, last + 1.0)))) == 1


def test_a_clock_cannot_jump_in_more_places_than_there_are():
    rng = np.random.default_rng(0)
    for _ in range(20):
        shift = draw_shift(times(3.0), rng, [(0, 9)], most_gaps=9)
        assert len(shift.starts) < 2


def test_all_times_of_a_text_move_and_nothing_else_does():
    assert shift_words(ANSWER, later(3725)) == "from 63:02 to 63:07"
    for same in ("the red star", "12 of 30", "1:30", "from 123:45", "12:75"):
        assert shift_words(same, later(60)) == same
    jumps = ClockShift((0.0, 58.0), (10, 600))
    assert shift_words(ANSWER, jumps) == "from 01:07 to 11:02"
    assert times_in(ANSWER) == [57, 62]


def test_a_video_keeps_everything_but_its_times():
    video = VideoFeatures(
        pooled=torch.randn(3, 2, 4),
        spatial=torch.randn(3, 2, 4),
        pts_seconds=torch.tensor([0.0, 1.0, 2.0]).double(),
    )
    for seed in range(20):
        rng = np.random.default_rng(seed)
        moved, turns = shift_clock(video, [("When?", "from 00:01 to 00:02")], rng)
        assert moved.pts_seconds.dtype == torch.float64
        assert moved.pooled is video.pooled
        assert video.pts_seconds.tolist() == [0.0, 1.0, 2.0]
        first, last = times_in(turns[0][1])
        assert moved.pts_seconds[1:].tolist() == [first, last]
        assert last == first + 1  # no jump within what is asked


@pytest.fixture
def dataset(make_tiny):
    _, processor = make_tiny()

    def make(kind="video", **layout):
        turns = [
            {"from": "human", "value": "<image>\nWhen does the red star appear?"},
            {"from": "gpt", "value": ANSWER},
        ]
        samples = [{"id": str(i), kind: "a", "conversations": turns} for i in range(40)]
        video = VideoFeatures(
            pooled=torch.zeros(4, 2, 4),
            spatial=torch.zeros(4, 2, 4),
            pts_seconds=torch.arange(4).double() * 20,
        )
        store = SimpleNamespace(load=lambda medium: video, num_frames=lambda medium: 4)
        return ConversationDataset(
            samples, store, processor, lambda frames: 2 * frames, Layout(**layout)
        )

    return make


def answer_of(made, number):
    sample = made[number]
    words = sample["input_ids"][sample["labels"] != -100]
    return made.tokenizer.decode(words, skip_special_tokens=True).replace(" ", "")


def test_a_sample_begins_at_the_same_time_every_time(dataset):
    made = dataset(shift_clock=True)
    for number in range(5):
        first, again = made[number]["shown"][0], made[number]["shown"][0]
        assert torch.equal(first.pts_seconds, again.pts_seconds)


def test_a_sample_says_the_time_that_the_asked_frames_have(dataset):
    made = dataset(shift_clock=True)
    jumps = moved = 0
    for number in range(40):
        shown = made[number]["shown"][0].pts_seconds
        ahead = shown - torch.arange(4) * 20
        # from 00:57 to 01:02: behind the frame at 40 s, and within no gap
        asked = shift_words(ANSWER, later(int(ahead[2]))).replace(" ", "")
        after = shift_words(ANSWER, later(int(ahead[3]))).replace(" ", "")
        assert answer_of(made, number) in (asked, after)
        jumps += len(set(ahead.tolist())) > 1
        moved += bool(ahead[-1] > 0)
    assert 5 < jumps < 25
    assert 10 < moved < 30
    assert answer_of(dataset(), 0) == ANSWER.replace(" ", "")


def test_pictures_have_no_clock_to_shift(dataset):
    made = dataset(kind="image", shift_clock=True)
    assert {int(made[n]["shown"][0].pts_seconds[0]) for n in range(40)} == {0}
