"""Importing the package is cheap, and every room lists what it offers."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest


def test_importing_the_package_imports_nothing_heavy():
    program = (
        "import dynfocus, sys; dynfocus.load, dynfocus.ask, dynfocus.plug; "
        "print([n for n in ('torch', 'transformers', 'av', 'numpy') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "room",
    [
        "dynfocus",
        "dynfocus.backends",
        "dynfocus.bulk",
        "dynfocus.defaults",
        "dynfocus.index",
        "dynfocus.models",
        "dynfocus.models.dynfocus",
        "dynfocus.plugins",
        "dynfocus.methods",
        "dynfocus.video",
        "dynfocus.words",
    ],
)
def test_public_names_are_sorted_and_there(room):
    module = importlib.import_module(room)
    assert list(module.__all__) == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name).__doc__


def test_a_plain_install_answers_without_the_extras():
    program = """
import sys
for name in ("accelerate", "peft", "bitsandbytes"):
    sys.modules[name] = None
import dynfocus.evaluation.benchmarks, dynfocus.methods, dynfocus.models, dynfocus.report
import dynfocus.world
from dynfocus.cli import main
sys.exit(main(["train", "nothing.yaml"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install 'dynfocus[train]'" in done.stderr
