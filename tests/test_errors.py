"""The tree of errors, the page that lists it, and who says what it raises."""

from __future__ import annotations

import ast
import builtins
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import dynfocus
from dynfocus import errors
from dynfocus.defaults import download, locate
from dynfocus.models import VideoModel
from dynfocus.video import LiveReader, VideoReader, probe_video

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "errors.md"
CLASSES = [getattr(errors, name) for name in errors.__all__]
ROOTS = (errors.DynFocusError, errors.DynFocusWarning)
SIGNALS = {
    "BusyError",
    "RefusalError",
    "AbandonedError",
    "ApiError",
    "DisorderedTimesError",
    "MistrustedIndexError",
    "StreamError",
    "_GoneError",
    "_UnwantedError",
    "_StoppedError",
    "_TerminationError",
}
"""Raised and caught inside one room; no caller ever sees them."""


def own_bases(kind):
    """List the classes of the tree above a class, the nearest first."""
    return [base.__name__ for base in kind.__mro__[1:] if base in CLASSES]


def builtin_bases(kind):
    return [
        base.__name__
        for base in kind.__mro__
        if base.__module__ == "builtins"
        and base not in (object, BaseException, Exception, Warning)
    ]


def entry(kind):
    """Describe a class as the page does."""
    cause, remedy = inspect.getdoc(kind).split("\n\n")
    assert remedy.startswith("Remedy: ")
    text = " ".join([*cause.split(), *remedy.split()]).replace("``", "`")
    parents = [own_bases(kind)[0], *builtin_bases(kind)]
    return f"- **{kind.__name__}** ({', '.join(parents)}). {text}"


def test_the_page_says_what_the_classes_say():
    page = PAGE.read_text(encoding="utf-8")
    entries = [" ".join(text.split()) for text in page.split("\n- ")[1:]]
    listed = [f"- {text}" for text in entries]
    expected = [entry(kind) for kind in CLASSES if kind not in ROOTS]
    assert listed == expected, "docs/errors.md should read:\n" + "\n".join(expected)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_stands_in_the_tree_and_keeps_a_builtin_class(kind):
    assert list(errors.__all__) == sorted(errors.__all__)
    assert issubclass(kind, ROOTS)
    assert issubclass(kind, errors.DynFocusWarning) == kind.__name__.endswith("Warning")
    assert kind in ROOTS or builtin_bases(kind)
    assert str(kind("what is wrong")) == "what is wrong"


def test_no_exception_is_defined_elsewhere():
    found = {
        node.name
        for path in (ROOT / "src" / "dynfocus").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Error", "Warning"))
    }
    assert found - SIGNALS == set(errors.__all__)


def test_the_errors_are_there_without_torch():
    program = (
        "import sys; import dynfocus.errors;"
        "print([n for n in ('torch', 'av', 'numpy') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "public",
    [
        dynfocus.ask,
        dynfocus.load,
        dynfocus.plug,
        VideoModel.ask,
        VideoModel.chat,
        VideoModel.index,
        VideoModel.score_frames,
        VideoModel.session,
        VideoReader,
        VideoReader.plan_times,
        VideoReader.sample,
        VideoReader.stream,
        LiveReader,
        LiveReader.read,
        download,
        locate,
        probe_video,
    ],
    ids=lambda public: public.__qualname__,
)
def test_public_functions_name_what_they_raise(public):
    text = inspect.getdoc(public)
    assert "\nRaises:\n" in text
    names = [
        line.split(":")[0].strip()
        for line in text.split("\nRaises:\n")[1].splitlines()
        if line.startswith("    ") and line[4:5].strip()
    ]
    known = {*errors.__all__, *dir(builtins)}
    assert names
    assert set(names) <= known
