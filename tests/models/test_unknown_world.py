"""Nano warns of videos that are not FocusWorld, once each, whoever asks in Python."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

import dynfocus
from dynfocus.errors import UnknownWorldWarning
from dynfocus.models import VideoModel
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.unknown_world import UNKNOWN_WORLD, warn_of_unknown_world
from dynfocus.world import make_scene, make_video, render

QUESTION = "What is shown?"
OTHER = np.random.default_rng(0).integers(0, 255, (6, 60, 80, 3), np.uint8)
WORLD = np.stack(list(render(make_scene(5, 20, "test"), range(6))))


@pytest.fixture(scope="module")
def nano() -> VideoModel:
    return dynfocus.load("nano", device="cpu", index_folder=False)


@pytest.fixture
def told():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def test_frames_are_warned_of_once_in_every_way_to_ask(nano, told, monkeypatch):
    monkeypatch.setattr(dynfocus, "_load_once", lambda name: nano)  # keeps none loaded
    ask = {"max_new_tokens": 1}
    ways = [
        lambda frames: nano.ask(frames, QUESTION, **ask),
        lambda frames: nano.ask(frames, [QUESTION, "How?"], **ask),
        lambda frames: nano.ask(nano.index(frames), QUESTION, max_frames=2, **ask),
        lambda frames: nano.chat(frames).ask(QUESTION, **ask),
        lambda frames: nano.score_frames(frames, QUESTION),
        lambda frames: dynfocus.ask(list(frames), QUESTION, model="nano", **ask),
    ]
    for way in ways:
        way(OTHER)
        (warning,) = told
        assert warning.category is UnknownWorldWarning
        assert str(warning.message) == f"the video {UNKNOWN_WORLD}"
        told.clear()
        way(WORLD)
        assert told == []


def test_features_without_pictures_are_not_judged(nano, told):
    index = nano.index(WORLD)
    nano.ask(index.features, QUESTION, max_new_tokens=1)
    nano.ask(replace(index, thumbnails=None), QUESTION, max_new_tokens=1)
    assert told == []


def test_what_was_seen_when_it_was_encoded_decides(nano, told):
    index = nano.index(WORLD)
    assert index.is_world
    small = replace(index, thumbnails=np.resize(OTHER, index.thumbnails.shape))
    warn_of_unknown_world(small)
    assert told == []
    warn_of_unknown_world(replace(small, is_world=None))
    assert [one.category for one in told] == [UnknownWorldWarning]


def test_an_index_on_disk_keeps_it(told, tmp_path, monkeypatch):
    made = make_video(tmp_path / "w.mp4", 6, seed=3, size=112)
    nano = dynfocus.load("nano", device="cpu", index_folder=tmp_path / "index")
    assert nano.index(made.path).is_world
    monkeypatch.setattr("dynfocus.models.unknown_world.look_at_world", None)
    again = dynfocus.load("nano", device="cpu", index_folder=tmp_path / "index")
    found = again.index(made.path)
    assert found.is_from_disk
    assert found.is_world
    assert told == []


def test_another_model_is_trusted(nano, told):
    other = VideoModel(FeatureBackbone(nano.model, nano.processor, "other"))
    other.ask(OTHER, QUESTION, max_new_tokens=1)
    session = other.session()
    session.push(OTHER)
    session.ask(QUESTION, max_new_tokens=1)
    assert told == []


def test_a_session_warns_once_and_when_the_world_changes(nano, told):
    session = nano.session()
    session.push(WORLD)
    session.ask(QUESTION, max_new_tokens=1)
    assert told == []
    session = nano.session(max_frames=16)
    session.push(WORLD)
    session.push(np.resize(OTHER, (16, 112, 112, 3)))
    for _ in range(2):
        session.ask(QUESTION, max_new_tokens=1)
    assert [one.category for one in told] == [UnknownWorldWarning]


def test_a_world_file_without_its_tag_is_known(nano, told, tmp_path):
    import av

    made = make_video(tmp_path / "w.mp4", 6, seed=3, size=112)
    with av.open(str(made.path)) as given, av.open(str(tmp_path / "b.mkv"), "w") as out:
        stream = out.add_stream("mpeg4", rate=8)
        stream.width = stream.height = 112
        for frame in given.decode(video=0):
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode())
    nano.ask(tmp_path / "b.mkv", QUESTION, max_new_tokens=1)
    assert told == []
