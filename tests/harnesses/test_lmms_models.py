"""Our model under lmms-eval, whose modules are stand-ins here; the slow tests have the real."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from benchmark_stand_ins import StandInModel
from dynfocus.errors import DynFocusWarning

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@dataclass
class TokenCounts:
    input_tokens: int


@dataclass
class GenerationResult:
    text: str
    token_counts: TokenCounts | None


class Lmms:
    """The harness fills ``task_dict`` before it asks."""

    def __init__(self) -> None:
        self.task_dict = {"world": {"test": DOCS}}


DOCS = [{"video": "b.mp4"}, {"video": "a.mp4"}, {"video": "b.mp4"}]


@pytest.fixture
def harness(monkeypatch):
    """Put modules in place of lmms-eval's, and take ours along when they go."""
    names = {
        "": {},
        ".api": {},
        ".api.instance": {
            "GenerationResult": GenerationResult,
            "TokenCounts": TokenCounts,
        },
        ".api.model": {"lmms": Lmms},
        ".models": {},
        ".models.registry_v2": {"ModelManifest": SimpleNamespace},
    }
    for name, content in names.items():
        module = ModuleType(f"lmms_eval{name}")
        vars(module).update(content, __path__=[])
        monkeypatch.setitem(sys.modules, f"lmms_eval{name}", module)
    for ours in ("lmms_models", "lmms_registry"):
        monkeypatch.delitem(sys.modules, f"dynfocus.harnesses.{ours}", raising=False)


@pytest.fixture
def make(harness, monkeypatch):
    """Make our model of either kind, around a stand-in that answers with its video."""

    def make(kind: str, **options: Any) -> tuple[Any, StandInModel]:
        stand_in = StandInModel(lambda video, question: f"{video} {question}")
        stand_in.check = lambda **asked: None
        monkeypatch.setattr("dynfocus.load", lambda name, **given: stand_in)
        module = import_module("dynfocus.harnesses.lmms_models")
        return getattr(module, kind)(pretrained="nano", **options), stand_in

    return make


def _simple(place: int, question: str, **options: Any) -> Any:
    show = lambda doc: [doc["video"]]  # noqa: E731
    return SimpleNamespace(args=(question, options, show, place, "world", "test"))


def _chat(place: int, question: str, **options: Any) -> Any:
    def show(doc: dict[str, str]) -> list[dict[str, Any]]:
        parts = [{"type": "video", "url": doc["video"]}]
        return [
            {"role": "user", "content": [*parts, {"type": "text", "text": question}]}
        ]

    return SimpleNamespace(args=("", show, options, place, "world", "test"))


def test_the_entry_point_names_classes_that_are_there(harness):
    points = tomllib.loads(PROJECT.read_text())["project"]["entry-points"]
    module, name = points["lmms_eval.models"]["dynfocus"].split(":")
    (manifest,) = getattr(import_module(module), name)()
    assert manifest.model_id == "dynfocus"
    for path, is_simple in (
        (manifest.simple_class_path, True),
        (manifest.chat_class_path, False),
    ):
        place, kind = path.rsplit(".", 1)
        assert getattr(import_module(place), kind).is_simple is is_simple


@pytest.mark.parametrize(
    ("kind", "ask"), [("SimpleModel", _simple), ("ChatModel", _chat)]
)
def test_answers_come_in_the_order_of_requests_and_videos_are_read_once(
    make, kind, ask
):
    model, stand_in = make(kind, max_frames=8)
    requests = [ask(place, f"q{place}?", max_new_tokens=5) for place in range(3)]
    answers = model.generate_until(requests)
    assert [one.text for one in answers] == ["b.mp4 q0?", "a.mp4 q1?", "b.mp4 q2?"]
    assert {one.token_counts.input_tokens for one in answers} == {12}
    assert [read["video"] for read in stand_in.read] == ["a.mp4", "b.mp4"]
    assert stand_in.read[0]["max_frames"] == 8
    assert {options["max_new_tokens"] for options in stand_in.options} == {5}


def test_an_answer_ends_where_the_task_wants(make):
    model, _ = make("SimpleModel")
    (answer,) = model.generate_until([_simple(0, "one. two", until=["."])])
    assert answer.text == "b"


def test_what_fails_is_empty_counted_and_warned_of(make):
    model, stand_in = make("SimpleModel")
    stand_in.reply = lambda video, question: "fail" if "bad" in question else "fine"
    with pytest.warns(
        DynFocusWarning, match="1 request failed and got an empty answer"
    ):
        answers = model.generate_until([_simple(0, "bad"), _simple(1, "good")])
    assert [one.text for one in answers] == ["", "fine"]


def test_texts_are_not_rated(make):
    model, _ = make("ChatModel")
    with pytest.raises(NotImplementedError, match="rates no texts; choose a task"):
        model.loglikelihood([])
