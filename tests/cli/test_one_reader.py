"""A question about a file opens it once, whoever asks and whatever answers."""

from __future__ import annotations

from pathlib import Path

import pytest

import dynfocus
from dynfocus.video import VideoReader
from dynfocus.world import make_video


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("world") / "video.mp4", 8, seed=3)


@pytest.fixture
def openings(monkeypatch) -> list:
    seen: list = []
    build = VideoReader.__init__

    def spy(self, path, **options):
        seen.append(Path(path))
        build(self, path, **options)

    monkeypatch.setattr(VideoReader, "__init__", spy)
    return seen


@pytest.mark.parametrize("extra", [[], ["--report", "r.html"], ["--no-index"]])
def test_the_command_opens_a_video_once(run, world, openings, extra):
    for _ in range(2):  # the second time it is in the index
        openings.clear()
        assert run("ask", world.path, "What is shown?", *extra).code == 0
        assert openings == [world.path]


def test_a_conversation_and_a_timeline_open_it_once(run, world, openings):
    assert run("chat", world.path, stdin="What?\nWhere?\n").code == 0
    assert openings == [world.path]
    openings.clear()
    assert run("timeline", world.path, "What?", "Where?").code == 0
    assert openings == [world.path]


def test_the_model_takes_a_file_or_its_reader(world, openings):
    model = dynfocus.load("nano", index_folder=False)
    question = world.questions[0].question
    answer = model.ask(world.path, question)
    assert openings == [world.path]
    reader = VideoReader(world.path)
    openings.clear()
    again = model.ask(reader, question)
    assert (again.text, again.frames) == (answer.text, answer.frames)
    assert model.map_prototypes(reader, answer)
    model.chat(reader)
    assert openings == []
