"""A selector of another package, through the command line and a plugged model."""

from __future__ import annotations

import json

import pytest

from dynfocus.cli import main
from dynfocus.methods import SELECTORS, find_selectors
from fake_package import install

SOURCE = """
import numpy as np

from dynfocus.methods import Selection, Selector


def latest(given, num_keep):
    order = np.argsort(-given.times)[:num_keep]
    return Selection.of(order, importance=np.linspace(1, 0, num_keep))


def asked(given, num_keep):
    few = np.arange(0, given.num_frames, 2)
    best = few[np.argsort(-given.score(few), kind="stable")]
    return Selection.of(best[:num_keep], scale=0.5)


half = Selector(choose=asked, needs_scorer=True)
"""
ENTRY_POINTS = """
[dynfocus.selectors]
latest = selectors_of_others:latest
half = selectors_of_others:half
"""


@pytest.fixture
def package(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    install(
        folder,
        monkeypatch,
        module="selectors_of_others",
        source=SOURCE,
        entry_points=ENTRY_POINTS,
    )


@pytest.mark.usefixtures("package")
def test_frames_are_chosen_by_the_rule_of_another_package(clip, capsys):
    assert set(find_selectors()) == {*SELECTORS, "latest", "half"}
    call = ["frames", str(clip), "what ?", "--budget", "5", "--cones", "2", "--json"]
    assert main([*call, "--rule", "latest"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rule"] == "latest"
    times = [frame["time"] for frame in document["frames"]]
    assert times == [4.75, 5.0, 5.25, 5.5, 5.75]
    assert [frame["rank"] for frame in document["frames"]] == [5, 4, 3, 2, 1]
    kinds = [frame["kind"] for frame in document["frames"]]
    assert kinds == ["rod"] * 3 + ["cone"] * 2
    assert document["frames"][-1]["importance"] == 1
    assert main([*call, "--rule", "half"]) == 2
    assert "--rule 'half' chooses frames by their sim" in capsys.readouterr().err


@pytest.mark.usefixtures("package")
def test_a_plugged_model_reads_what_the_rule_of_another_package_chose(
    plugged, make_frames, scorer
):
    frames = make_frames(8)
    model = plugged(max_video_tokens=60, scorer=scorer)
    assert {"latest", "half"} < set(model.backbone.methods)
    video = model.index(frames)
    whole = video.features.tokens_per_step
    answer = model.ask(video, "what ?", method="latest", max_new_tokens=2)
    count = 60 // whole
    assert [frame.index for frame in answer.frames] == list(range(8 - count, 8))
    assert {frame.tokens for frame in answer.frames[:-1]} == {whole}
    answer = model.ask(video, "is it red ?", method="half", max_new_tokens=2)
    assert all(frame.index % 2 == 0 for frame in answer.frames)
    assert {frame.tokens for frame in answer.frames[:-1]} == {whole // 4}
    with pytest.raises(ValueError, match="method 'half' chooses frames by their sim"):
        plugged(method="half")


def test_what_is_no_selector_is_refused(tmp_path, monkeypatch):
    install(
        tmp_path,
        monkeypatch,
        module="no_selector",
        source="number = 3\n",
        entry_points="[dynfocus.selectors]\nodd = no_selector:number\n",
    )
    with pytest.raises(ValueError, match=r"odd in dynfocus.selectors must be a Selec"):
        find_selectors()
