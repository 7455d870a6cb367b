"""Excerpts and streams: only the frames asked for, with the times of the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dynfocus.errors import DamagedVideoWarning, UnreadableVideoError
from dynfocus.video import VideoReader, probe_video
from two_streams import write_two_streams

TIMES = np.arange(200) / 10


@pytest.fixture
def clip(write_clip, tmp_path) -> Path:
    """Twenty seconds whose frames carry their numbers, ten a second."""
    return write_clip(tmp_path / "clip.mp4", TIMES)


@pytest.fixture
def two_streams(draw_number, tmp_path) -> Path:
    """A large stream of frames 0, 1, ... and a small one of frames 500, 501, ..."""
    return write_two_streams(tmp_path / "two.mp4", draw_number)


def test_the_grid_starts_at_start_and_times_are_those_of_the_file(clip, read_numbers):
    reader = VideoReader(clip, start="0:05.5", end=9.0)
    frames, times = reader.sample(fps=1.0)
    np.testing.assert_allclose(times, [5.5, 6.5, 7.5, 8.5])
    assert read_numbers(frames) == [55, 65, 75, 85]
    frames, times = reader.sample(num_frames=2)
    np.testing.assert_allclose(times, [6.3, 8.1])
    assert (reader.start, reader.end) == (5.5, 9.0)
    assert reader.duration == VideoReader(clip).duration
    np.testing.assert_allclose(reader.frame_times, TIMES[55:90])


def test_the_end_is_exclusive(clip, read_numbers):
    frames, _ = VideoReader(clip, start=3, end=5).sample(fps=1.0)
    assert read_numbers(frames) == [30, 40]
    frames, _ = VideoReader(clip, start=3, end=5.01).sample(fps=1.0)
    assert read_numbers(frames) == [30, 40, 50]


def test_an_excerpt_is_the_same_frames_as_of_the_whole(clip):
    whole = VideoReader(clip)
    frames, times = whole.sample(times=[7, 8, 9])
    cut_frames, cut_times = whole.excerpt(7, 10).sample(fps=1.0)
    np.testing.assert_array_equal(cut_frames, frames)
    np.testing.assert_array_equal(cut_times, times)
    streamed = list(whole.excerpt(7, 10).stream(fps=1.0, frames_at_a_time=2))
    np.testing.assert_array_equal(np.concatenate([f for f, _ in streamed]), frames)


def test_a_frame_on_display_at_the_start_is_timed_from_there(
    write_clip, tmp_path, read_numbers
):
    slides = write_clip(tmp_path / "slides.mp4", [0, 4, 8, 12])
    reader = VideoReader(slides, start=5, end=9)
    frames, times = reader.sample(fps=1.0)
    assert read_numbers(frames) == [1, 1, 1, 2]
    np.testing.assert_allclose(times, [5, 5, 5, 8])
    again, same = reader.sample(times=times)
    np.testing.assert_array_equal(again, frames)
    np.testing.assert_array_equal(same, times)
    np.testing.assert_allclose(reader.frame_times, [5, 8])


def test_an_excerpt_can_be_narrowed_without_opening_the_file(clip, monkeypatch):
    reader = VideoReader(clip, start=2)
    monkeypatch.setattr(VideoReader, "_open", None)
    narrow = reader.excerpt(end="0:04")
    assert (narrow.start, narrow.end, reader.end) == (2.0, 4.0, reader.duration)


def test_fast_mode_stays_within_the_excerpt(clip):
    times = VideoReader(clip, start=4.5, end=7).sample(fps=1.0, fast=True).times
    np.testing.assert_allclose(times, [5, 5, 6])
    with pytest.raises(UnreadableVideoError, match="this excerpt has none"):
        VideoReader(clip, start=4.5, end=4.9).sample(fps=1.0, fast=True)


@pytest.mark.parametrize(
    ("excerpt", "message"),
    [
        (
            {"start": 20},
            "start must lie before the end of the video at 19.933 s, got 20",
        ),
        ({"end": "0:21"}, "end must not lie beyond the end of the video at 19.933 s"),
        ({"start": 5, "end": 5}, "end must be after start (5 s), got 5 s"),
        (
            {"start": "1:75"},
            "start must be seconds from 0, m:ss or h:mm:ss, got '1:75'",
        ),
        ({"end": -1}, "end must be seconds from 0, m:ss or h:mm:ss, got -1"),
        ({"stream": 7}, "there is no video stream 7; the file has 0."),
    ],
)
def test_an_impossible_excerpt_is_refused(clip, excerpt, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        VideoReader(clip, **excerpt)


def test_moments_outside_the_excerpt_are_refused(clip):
    message = "times must lie between 5.000 and 9.000 s, where the excerpt is, got 2."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        VideoReader(clip, start=5, end=9).sample(times=[6, 2])


def test_an_end_that_a_player_rounds_up_is_the_end(write_clip, tmp_path):
    short = write_clip(tmp_path / "short.mp4", TIMES[:37])
    assert VideoReader(short, end=4).end == pytest.approx(3.7, abs=0.1)


def test_a_file_that_breaks_off_later_is_no_news(write_clip, tmp_path):
    path = write_clip(tmp_path / "clip.ts", TIMES, container_format="mpegts")
    mkv = write_clip(tmp_path / "clip.mkv", TIMES)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(mkv.read_bytes()[: mkv.stat().st_size * 2 // 3])
    assert VideoReader(path, start=5, end=9).sample(fps=1.0).damage is None
    assert VideoReader(cut, start=1, end=4).sample(fps=1.0).damage is None
    with pytest.warns(DamagedVideoWarning, match="breaks off"):
        VideoReader(cut, start=1).sample(fps=1.0)


def test_a_stream_is_chosen_by_its_number(
    two_streams, read_numbers: Callable[[np.ndarray], list[int]]
):
    usual, other = VideoReader(two_streams), VideoReader(two_streams, stream=1)
    assert (usual.size, other.size) == ((64, 96), (32, 48))
    assert read_numbers(usual.sample(fps=1.0).frames) == [0, 10, 20, 30]
    assert read_numbers(other.sample(fps=1.0).frames) == [500, 510, 520, 530]
    assert (usual.other_stream, other.other_stream) == (None, 1)
    assert VideoReader(two_streams, stream=0).other_stream is None
    assert read_numbers(other.excerpt(1, 2).sample(fps=1.0).frames) == [510]


def test_probe_lists_the_streams_and_reads_the_one_asked_for(two_streams):
    usual, other = probe_video(two_streams), probe_video(two_streams, stream=1)
    assert (usual.stream, other.stream) == (0, 1)
    assert other.size == (32, 48)
    assert other.to_dict()["video_stream_numbers"] == (0, 1)
    sentence = "It has 2 video streams, numbers 0 and 1; number {} is read."
    assert sentence.format(0) in usual.difficulties
    assert sentence.format(1) in other.difficulties
