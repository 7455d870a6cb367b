"""Questions about an excerpt: its frames alone, the file's times, no second encoding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from counted_reads import QUESTION, ask, count_reads

from dynfocus.index import IndexStore, VideoIndex
from dynfocus.models import AskOptions, VideoModel
from dynfocus.models.excerpts import moments
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.video import SampledFrames, VideoReader, VideoWriter
from two_streams import write_two_streams

Build = Callable[..., VideoModel]


@pytest.fixture
def build(make_model, make_processor, index_folder) -> Build:
    def make(**options: object) -> VideoModel:
        options.setdefault("store", IndexStore(index_folder))
        return VideoModel(
            FeatureBackbone(make_model(), make_processor(), "tiny", **options)
        )

    return make


@pytest.fixture
def long_clip(tmp_path: Path) -> Path:
    """Forty seconds of changing colours at 2.5 frames a second."""
    path = tmp_path / "long.mp4"
    generator = np.random.default_rng(0)
    with VideoWriter(path, fps=2.5, size=(32, 64)) as writer:
        for _ in range(100):
            colours = generator.integers(0, 256, (4, 8, 3), dtype=np.uint8)
            writer.write(colours.repeat(8, axis=0).repeat(8, axis=1))
    return path


def test_times_are_those_of_the_file_and_the_budget_is_spent_on_the_excerpt(
    build, long_clip
):
    model = build(store=None)
    frames = ask(model, long_clip, start=10, end="0:20", max_video_tokens=60)[2]
    assert [frame.index for frame in frames] == list(range(10))
    assert frames[0].time == 10.0
    assert all(10 <= frame.time < 20 for frame in frames)
    budget = model.backbone.model.focus_network.budget(60).plan(10)
    assert sum(frame.tokens for frame in frames) == budget.num_tokens
    whole = ask(model, long_clip, max_video_tokens=60)[2]
    of_same = [frame for frame in whole if 10 <= frame.time < 20]
    assert sum(frame.tokens for frame in frames) > sum(f.tokens for f in of_same)


@pytest.mark.parametrize("budget", [None, 40])
def test_the_index_of_the_whole_answers_as_the_excerpt_itself(
    build, long_clip, budget, monkeypatch
):
    plain = ask(build(store=None), long_clip, start=9, end=21, max_video_tokens=budget)
    model = build(storage="exact")
    reads = count_reads(model, monkeypatch)
    model.index(long_clip)
    assert ask(model, long_clip, start=9, end=21, max_video_tokens=budget) == plain
    opened = VideoReader(long_clip, start=9, end=21)
    assert ask(model, opened, max_video_tokens=budget) == plain
    index = model.index(long_clip)
    assert ask(model, index, start=9, end=21, max_video_tokens=budget) == plain
    chat = model.chat(long_clip, start=9, end=21, max_video_tokens=budget)
    assert chat.ask(QUESTION, max_new_tokens=5).frames == plain[2]
    assert len(chat.ask(QUESTION, max_new_tokens=5, start=15).frames) == 6
    assert sum(reads) == 40
    assert len(model.store.entries()) == 1


def test_an_excerpt_off_the_grid_is_read_and_kept(build, long_clip, monkeypatch):
    model = build(storage="exact")
    reads = count_reads(model, monkeypatch)
    model.index(long_clip)
    expected = ask(build(store=None), long_clip, start=9.5, end=21)
    for _ in range(2):
        assert ask(model, long_clip, start=9.5, end=21) == expected
    assert sum(reads) == 40 + 12
    again = model.index(long_clip, start=9.5, end=21)
    assert (again.is_from_disk, again.interval, again.num_frames) == (
        True,
        (9.5, 21),
        12,
    )
    assert again.duration == pytest.approx(40)


def test_fewer_frames_of_an_excerpt_are_read_unless_the_index_has_them(
    build, long_clip, monkeypatch
):
    model = build(storage="exact")
    reads = count_reads(model, monkeypatch)
    model.index(long_clip)
    assert len(ask(model, long_clip, start=10, end=20, max_frames=10)[2]) == 10
    assert sum(reads) == 40
    few = ask(model, long_clip, start=10, end=20, max_frames=4)[2]
    assert [frame.time for frame in few] == pytest.approx([11.2, 13.6, 16.0, 18.4])
    assert sum(reads) == 44


def test_a_compact_index_cannot_be_divided_so_the_excerpt_is_read(
    build, long_clip, monkeypatch
):
    model = build(storage="compact")
    index = model.index(long_clip)
    reads = count_reads(model, monkeypatch)
    assert [f.time for f in ask(model, long_clip, start=10, end=14)[2]] == [
        f.time for f in ask(build(store=None), long_clip, start=10, end=14)[2]
    ]
    assert sum(reads) == 4
    with pytest.raises(ValueError, match="compact index.*ask about the file itself"):
        ask(model, index, start=10, end=14)


def test_an_excerpt_of_an_index_has_its_pictures(build, long_clip):
    model = build(storage="exact")
    whole = model.index(long_clip)
    part = model.index(long_clip, start=10, end=14)
    assert (part.is_from_disk, part.num_frames, part.interval) == (True, 4, (10, 14))
    assert (part.thumbnails[2] == whole.thumbnails[12]).all()
    fresh = build(store=None).index(long_clip, start=10, end=14)
    assert fresh.thumbnails.shape == part.thumbnails.shape
    assert torch.equal(fresh.features.pts_seconds, part.features.pts_seconds)
    assert torch.equal(
        fresh.features.prototypes.features, part.features.prototypes.features
    )


def test_each_stream_has_an_entry_of_its_own(build, tmp_path, monkeypatch):
    video = write_two_streams(tmp_path / "two.mp4")
    model = build(storage="exact")
    reads = count_reads(model, monkeypatch)
    usual, other = model.index(video), model.index(video, stream=1)
    assert not torch.equal(usual.features.spatial, other.features.spatial)
    assert (usual.stream, other.stream) == (None, 1)
    assert reads == [4, 4]
    for chosen, index in ((None, usual), (0, usual), (1, other)):
        again = model.index(video, stream=chosen)
        assert (again.entry, again.stream) == (index.entry, index.stream)
        assert len(ask(model, video, stream=chosen, start=1, end=3)[2]) == 2
        assert len(ask(model, index, stream=chosen)[2]) == 4
    with pytest.raises(ValueError, match="cannot be chosen of a video that is open"):
        ask(model, usual, stream=1)
    answer = model.ask(video, QUESTION, stream=1, max_new_tokens=2)
    (first, *_) = model.map_prototypes(other, answer)
    assert first.picture.shape == (32, 48, 3)
    with pytest.raises(ValueError, match="of stream 1; name its file instead"):
        model.index(VideoReader(video, stream=1), stream=0)


def test_frames_that_are_there_are_cut_by_their_times(focused, make_frames):
    frames = SampledFrames(make_frames(9), np.arange(9) * 2.0)
    kept = ask(focused, frames, fps=0.5, start=4, end=9)[2]
    assert [frame.time for frame in kept] == [4, 6, 8]
    index = focused.index(frames, fps=0.5)
    assert ask(focused, index, start=4, end=9)[2] == kept
    assert moments(index)[:, 0].tolist() == frames.times.tolist()
    with pytest.raises(
        ValueError, match=r"no frame lies from start \(5 s\) on and befo"
    ):
        ask(focused, frames, fps=0.5, start=5, end=6)
    with pytest.raises(
        ValueError, match="stream 1 cannot be chosen of a video that is"
    ):
        ask(focused, frames, stream=1)


def test_a_session_is_asked_about_its_last_frames(focused, make_frames):
    session = focused.session()
    session.push(make_frames(8))
    frames = session.ask(QUESTION, max_new_tokens=2, start=5).frames
    assert [frame.time for frame in frames] == [5, 6, 7]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 9, "end": "0:08"}, r"end must be after start \(9 s\), got 8 s"),
        (
            {"start": "soon"},
            "start must be seconds from 0, m:ss or h:mm:ss, got 'soon'",
        ),
        ({"start": 41}, "start must lie before the end of the video at 40.000 s"),
        ({"end": 41}, "end must not lie beyond the end of the video at 40.000 s"),
        ({"stream": 3}, "there is no video stream 3; the file has 0."),
        ({"stream": -1}, "stream must be at least 0, got -1"),
    ],
)
def test_an_impossible_excerpt_is_refused(focused, long_clip, options, message):
    with pytest.raises(ValueError, match=message):
        ask(focused, long_clip, **options)


def test_options_read_moments_as_people_write_them():
    options = AskOptions(start="1:02:03.5", end=np.float64(4000))
    assert (options.start, options.end) == (3723.5, 4000.0)


def test_an_index_knows_its_interval(focused, long_clip):
    whole = focused.index(long_clip)
    assert isinstance(whole, VideoIndex)
    assert whole.interval == (0.0, whole.duration)
    assert moments(whole)[:, 0].tolist() == list(range(40))
