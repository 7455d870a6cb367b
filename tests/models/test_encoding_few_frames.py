"""Frames to encode, chosen by a look at small pictures."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from counted_reads import QUESTION, ask

from dynfocus.index import EntryKey, IndexStore, Sampling
from dynfocus.models import AskOptions, VideoModel
from dynfocus.models.encoding import VideoSource
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.video import VideoReader

EVENTS = (7, 23, 24, 38)
"""Seconds that look unlike all others."""


def film(num_seconds: int = 40) -> np.ndarray:
    """Draw a still scene, one frame a second, with events of a second or two."""
    generator = np.random.default_rng(0)
    scene, *events = generator.integers(20, 236, (4, 4, 6, 3))
    pictures = np.repeat(scene[None], num_seconds, 0)
    for seconds, picture in zip(
        (EVENTS[:1], EVENTS[1:3], EVENTS[3:]), events, strict=True
    ):
        pictures[list(seconds)] = picture
    return pictures.repeat(16, 1).repeat(16, 2).astype(np.uint8)


def write(path: Path, frames: np.ndarray, fps: int, gop: int) -> Path:
    """Write each frame for a second, with a key frame every ``gop`` frames alone."""
    options = {"g": str(gop), "keyint_min": str(gop), "sc_threshold": "0", "bf": "0"}
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for picture in frames:
            for _ in range(fps):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        out.mux(stream.encode())
    return path


@pytest.fixture
def build(make_model, make_processor, index_folder):
    def make(store=None) -> VideoModel:
        return VideoModel(
            FeatureBackbone(make_model(), make_processor(), "tiny", store=store)
        )

    return make


def times_of(index) -> list[float]:
    return index.features.pts_seconds.tolist()


@pytest.mark.parametrize("gop", [4, 32, 1000])
def test_events_are_encoded_wherever_the_encoder_put_its_key_frames(
    build, tmp_path, gop
):
    path, model = write(tmp_path / "film.mp4", film(), 4, gop), build()
    seen = []
    encode = model.model.encode_frames
    model.model.encode_frames = lambda pixels: (
        seen.append(len(pixels)) or encode(pixels)
    )
    index = model.index(path, max_encoded_frames=8)
    assert sum(seen) == index.num_frames == 8
    times = times_of(index)
    assert times == sorted(set(times))
    assert set(times) <= set(range(40))
    assert {7.0, 38.0} <= set(times)
    assert {23.0, 24.0} & set(times)
    assert times_of(model.index(path, max_encoded_frames=8)) == times
    assert {7.0, 38.0} - set(times_of(model.index(path, max_frames=8)))


def test_dense_key_frames_are_looked_at_alone(tmp_path, monkeypatch):
    looked = []
    sample = VideoReader.sample

    def spy(self, **options):
        looked.append(options["fast"])
        return sample(self, **options)

    monkeypatch.setattr(VideoReader, "sample", spy)
    for gop, most in ((8, 8), (8, 30), (12, 8)):
        path = write(tmp_path / f"{gop}.mp4", film(), 4, gop)
        source = VideoSource.open(path, AskOptions())
        found = source.read_unlike(most, (32, 48))
        assert len(found.times) == most
        if looked[-1]:
            assert set(found.times.tolist()) <= set(range(0, 40, 2))
    assert looked == [True, False, False]  # too few for 30; 3 s apart


def test_a_bound_that_does_not_bind_changes_nothing(build, clip):
    plain = ask(build(), clip)
    assert ask(build(), clip, max_encoded_frames=6) == plain
    few = build().ask(clip, QUESTION, max_encoded_frames=3, max_new_tokens=3)
    assert len(few.frames) == 3
    with pytest.raises(ValueError, match="max_encoded_frames"):
        build().ask(clip, QUESTION, max_encoded_frames=0)


def test_frames_that_are_there_are_chosen_too(build):
    index = build().index(film(), max_encoded_frames=6)
    assert index.num_frames == 6
    assert {7.0, 38.0} <= set(times_of(index))


def test_the_index_on_disk_knows_how_many_were_encoded(build, tmp_path, index_folder):
    path = write(tmp_path / "film.mp4", film(), 4, 1000)
    model = build(IndexStore(index_folder))
    whole = model.index(path)
    few = model.index(path, max_encoded_frames=8)
    assert (whole.num_frames, few.num_frames) == (40, 8)
    again = model.index(path, max_encoded_frames=8)
    assert (again.is_from_disk, times_of(again)) == (True, times_of(few))
    assert model.index(path).num_frames == 40
    loose = model.index(path, max_encoded_frames=50)
    assert (loose.is_from_disk, loose.entry) == (True, whole.entry)
    part = model.index(path, max_encoded_frames=4, start=20, end=30)
    assert part.num_frames == 4
    assert {23.0, 24.0} & set(times_of(part))
    key = EntryKey(content="a", model="b", sampling=Sampling(fps=1.0), layout="c")
    assert "max_encoded_frames" not in key.to_json()  # entries of before are found
