"""The way of a question through the house: rooms, files and containers that it enters.

The numbers are those reached; raising one needs a reason. Names of rooms are folders of
the package; containers are dataclasses of the package that are made on the way.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dynfocus
from dynfocus.world import make_video

ROOT = Path(dynfocus.__file__).parent


def trace(work: Callable[[], Any]) -> tuple[set[str], set[str], set[str]]:
    """Give the rooms, the files and the containers that a call enters."""
    files: set[str] = set()
    containers: set[str] = set()

    def note(frame: Any, event: str, argument: Any) -> None:
        code = frame.f_code
        if event != "call":
            return
        if code.co_filename.startswith(str(ROOT)):
            files.add(Path(code.co_filename).relative_to(ROOT).as_posix())
        made = frame.f_locals.get("self") if code.co_name == "__init__" else None
        if made is not None and dataclasses.is_dataclass(made):
            kind = type(made)
            if kind.__module__.startswith("dynfocus."):
                containers.add(kind.__name__)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    rooms = {file.partition("/")[0] for file in files if "/" in file}
    return rooms, files, containers


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Load nano, with the index of a video on disk and a question about it."""
    folder = tmp_path_factory.mktemp("rooms")
    made = make_video(folder / "video.mp4", 20, seed=3)
    model = dynfocus.load("nano", device="cpu", index_folder=folder / "index")
    question = made.questions[0].question
    model.ask(made.path, question)
    return model, made.path, question


def test_a_question_about_an_index_enters_few_rooms(asked):
    model, path, question = asked
    index = model.index(path)
    rooms, files, containers = trace(lambda: model.ask(index, question))
    assert rooms == {"focus", "index", "methods", "models"}
    assert len(files) <= 27, sorted(files)  # a kind of model, and what all share
    assert containers <= {
        "AskOptions",
        "Asked",
        "FocusBudget",
        "VideoFeatures",
        "EventBatch",
        "EventSelection",
        "VideoTokens",
        "PreparedTurn",
        "FrameReport",
        "VideoCausalLMOutputWithPast",
        "Answer",
    }


def test_a_file_that_is_indexed_adds_the_store_alone(asked):
    model, path, question = asked
    rooms, files, containers = trace(lambda: model.ask(path, question))
    # a name may be an address; the index says whether its pictures are FocusWorld's
    assert rooms == {"focus", "index", "methods", "models", "video"}
    assert {file for file in files if "world" in file} == {"models/unknown_world.py"}
    files -= {"atomic.py"}  # the digest of a file is noted once it is two seconds old
    assert len(files) <= 37, sorted(files)
    assert len(containers) <= 15, sorted(containers)
