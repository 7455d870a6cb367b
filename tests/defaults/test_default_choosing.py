from __future__ import annotations

import numpy as np
import pytest

import dynfocus
from downloaded import WHOLE, put_into_cache
from dynfocus.defaults import (
    RECOMMENDED,
    NoModelError,
    choose_model,
    choosing,
    save_model,
    settings_file,
)
from dynfocus.video import VideoWriter
from dynfocus.world import make_video


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("world") / "world.mp4", 5, seed=3).path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path, fps=2, size=(32, 32)) as writer:
        writer.write(np.full((32, 32, 3), 90, np.uint8))
    return path


@pytest.fixture
def without_words(monkeypatch):
    """Hide the packages that read words."""
    monkeypatch.setattr(choosing, "find_spec", lambda name: None)


def test_words_are_found_where_no_model_is_there(clip):
    chosen = choose_model(clip)
    assert (chosen.name, chosen.source) == ("words", "words")
    assert "no model is asked" in chosen.reason


@pytest.mark.usefixtures("without_words")
def test_each_rule_goes_before_the_next(world, clip, hub_cache, monkeypatch):
    with pytest.raises(NoModelError, match="run 'dynfocus download' once and then"):
        choose_model(clip)
    chosen = choose_model(world)
    assert (chosen.name, chosen.source) == ("nano", "nano")
    assert chosen.reason == "as this is a FocusWorld video"
    folder = put_into_cache(hub_cache, RECOMMENDED, WHOLE)
    chosen = choose_model(clip)
    assert (chosen.name, chosen.source) == (RECOMMENDED, str(folder))
    assert choose_model(world).name == "nano"
    save_model("owner/set")
    for video in (world, clip):
        chosen = choose_model(video)
        assert (chosen.name, chosen.source) == ("owner/set", "owner/set")
        assert chosen.reason == f"as {settings_file()} says"
    monkeypatch.setenv("DYNFOCUS_MODEL", "nano")
    for video in (world, clip):
        assert choose_model(video).name == "nano"
        assert choose_model(video).reason == "as DYNFOCUS_MODEL says"
    monkeypatch.setenv("DYNFOCUS_MODEL", "")
    assert choose_model(clip).name == "owner/set"


def test_what_is_on_this_machine_is_loaded_from_there(
    clip, hub_cache, monkeypatch, tmp_path
):
    folder = put_into_cache(hub_cache, "owner/model", WHOLE)
    monkeypatch.setenv("DYNFOCUS_MODEL", "owner/model")
    chosen = choose_model(clip)
    assert (chosen.name, chosen.source) == ("owner/model", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("DYNFOCUS_MODEL", "~/mine")
    chosen = choose_model(clip)
    assert (chosen.name, chosen.source) == ("~/mine", str(tmp_path / "mine"))


@pytest.mark.usefixtures("without_words")
def test_asking_from_python_follows_the_same_rule(world, clip, monkeypatch):
    class LoadedError(Exception):
        pass

    def load(name: str) -> None:
        raise LoadedError(name)

    monkeypatch.setattr(dynfocus, "load", load)
    with pytest.raises(NoModelError, match="only knows FocusWorld videos"):
        dynfocus.ask(clip, "What?")
    with pytest.raises(NoModelError):
        dynfocus.ask(str(clip), "What?")
    for video in (world, object()):
        with pytest.raises(LoadedError, match="nano"):
            dynfocus.ask(video, "What?")
    monkeypatch.setenv("DYNFOCUS_MODEL", "owner/mine")
    with pytest.raises(LoadedError, match="owner/mine"):
        dynfocus.ask(clip, "What?")
    with pytest.raises(LoadedError, match="other"):
        dynfocus.ask(clip, "What?", model="other")
