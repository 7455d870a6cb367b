"""Frames that are decoded for a sample: their number, before they are."""

from __future__ import annotations

import pytest
import torch

from dynfocus.training.encoded_videos import FrameReader

VIDEO = "focusworld:train/3?seconds=9"


def test_a_video_is_read_at_the_rate_and_within_the_limit(make_tiny):
    _, processor = make_tiny()
    reader = FrameReader(processor=processor, fps=2.0, max_frames=12)
    shown = reader.load(VIDEO, "video")
    assert shown.num_frames == 12
    assert reader.count_frames({"video": VIDEO}) == [12]
    assert shown.pixel_values.shape == (12, 3, 112, 112)
    assert (shown.pts_seconds.diff() >= 0.5).all()
    blank = reader.blank()
    assert blank.num_frames == 1
    assert not blank.pixel_values.any()
    half = FrameReader(processor=processor, dtype=torch.bfloat16)
    assert half.blank().pixel_values.dtype == torch.bfloat16


def test_frames_are_counted_without_opening_a_file(make_tiny):
    _, processor = make_tiny()
    count = FrameReader(processor=processor, fps=2.0, max_frames=30).count_frames
    assert count({"video": VIDEO}) == [18]
    assert count({"video": "no.mp4", "duration": 4.2}) == [9]
    assert count({"video": "no.mp4", "duration": 100}) == [30]
    assert count({"image": "no.png"}) == [1]
    two = {"video": ["a.mp4", "b.mp4"], "duration": [4.2, 2]}
    assert count(two) == [9, 4]
    assert count({}) == []
    with pytest.raises(
        ValueError, match="sample x does not tell the 'duration' of its"
    ):
        count({"id": "x", "video": "no.mp4"})
