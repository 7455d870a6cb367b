"""Videos opened for encoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dynfocus.models import AskOptions
from dynfocus.models.encoding import VideoSource, kept_file, make_thumbnails
from dynfocus.video import SampledFrames, VideoReader


def test_a_file_is_planned_before_it_is_read(clip):
    source = VideoSource.open(clip, AskOptions(fps=2.0))
    assert (source.num_frames, source.size) == (12, (32, 64))
    assert source.path == str(clip)
    few = source.thin(3)
    assert few.num_frames == 3
    assert source.thin(12) is source
    read = few.read((28, 28))
    assert read.frames.shape == (3, 28, 28, 3)
    assert read.times == pytest.approx([1.0, 3.0, 5.0])
    streamed = [part.times for part in few.stream(2)]
    assert np.concatenate(streamed) == pytest.approx(read.times)


def test_a_reader_stands_for_its_file(clip):
    reader = VideoReader(clip)
    source = VideoSource.open(reader, AskOptions(max_frames=4))
    assert source.reader is reader
    assert source.num_frames == 4
    assert kept_file(reader) == kept_file(clip) == clip
    assert kept_file(np.zeros((1, 2, 2, 3))) is None
    assert kept_file(Path("nowhere.mp4")) is None


def test_frames_are_thinned_evenly(make_frames):
    frames = SampledFrames(make_frames(9), np.arange(9) * 2.0)
    source = VideoSource.open(frames, AskOptions(fps=0.5, max_frames=6))
    assert (source.num_frames, source.path) == (6, None)
    kept = source.thin(2)
    assert kept.read((1, 1)).times.tolist() == [4.0, 12.0]
    assert [part.times.tolist() for part in kept.stream(1)] == [[4.0, 12.0]]


def test_thumbnails_have_the_shape_of_the_video(make_frames):
    assert make_thumbnails(make_frames(3), (100, 200)).shape == (3, 14, 28, 3)
    assert make_thumbnails(make_frames(70, size=200), (50, 50)).shape == (70, 50, 50, 3)
