"""Videos that begin later on the clock, and their words with them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dynfocus.index import VideoFeatures
from dynfocus.training.clock_shift import draw_shift, shift_video, shift_words
from dynfocus.training.dataset import ConversationDataset, Layout

ANSWER = "from 00:57 to 01:02"


def test_half_of_the_videos_move_and_none_beyond_the_limit():
    rng = np.random.default_rng(0)
    shifts = [draw_shift(59.5, 3600, rng) for _ in range(400)]
    assert 160 < shifts.count(0) < 240
    assert max(shifts) > 3300
    assert max(shifts) + 60 < 3600


@pytest.mark.parametrize("last", [3599.0, 3600.0, 5000.0])
def test_a_video_without_room_stays(last):
    rng = np.random.default_rng(0)
    assert {draw_shift(last, 3600, rng) for _ in range(20)} == {0}


def test_all_times_of_a_text_move_and_nothing_else_does():
    assert shift_words(ANSWER, 3725) == "from 63:02 to 63:07"
    for same in ("the red star", "12 of 30", "1:30", "from 123:45", "12:75"):
        assert shift_words(same, 60) == same


def test_a_video_keeps_everything_but_its_times():
    video = VideoFeatures(
        pooled=torch.randn(3, 2, 4),
        spatial=torch.randn(3, 2, 4),
        pts_seconds=torch.tensor([0.0, 1.0, 2.0]).double(),
    )
    moved = shift_video(video, 600)
    assert moved.pts_seconds.tolist() == [600.0, 601.0, 602.0]
    assert moved.pooled is video.pooled
    assert video.pts_seconds.tolist() == [0.0, 1.0, 2.0]


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


def test_a_sample_says_the_time_that_its_frames_have(dataset):
    plain, shifted = dataset(), dataset(shifted_seconds=3600)
    moved = 0
    for number in range(40):
        seconds = int(shifted[number]["shown"].pts_seconds[0])
        expected = shift_words(ANSWER, seconds).replace(" ", "")
        assert answer_of(shifted, number) == expected
        assert torch.equal(
            shifted[number]["shown"].pts_seconds,
            plain[0]["shown"].pts_seconds + seconds,
        )
        moved += seconds > 0
    assert 10 < moved < 30
    assert answer_of(plain, 0) == ANSWER.replace(" ", "")


def test_a_sample_begins_at_the_same_time_every_time(dataset):
    made = dataset(shifted_seconds=3600)
    for number in range(5):
        first, again = made[number]["shown"], made[number]["shown"]
        assert torch.equal(first.pts_seconds, again.pts_seconds)


def test_pictures_have_no_clock_to_shift(dataset):
    made = dataset(kind="image", shifted_seconds=3600)
    assert {int(made[n]["shown"].pts_seconds[0]) for n in range(40)} == {0}


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (1, "data.shifted_seconds must be a whole number above 1, got 1"),
        (6000, "at most 5999, the last that mm:ss can write, got 6000"),
    ],
)
def test_wrong_limits_are_refused(seconds, message):
    with pytest.raises(ValueError, match=message):
        Layout(shifted_seconds=seconds)
