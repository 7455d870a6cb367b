"""Where results say they come from."""

from __future__ import annotations

import re

from dynfocus import provenance
from dynfocus.provenance import (
    describe_hardware,
    processor_name,
    source_commit,
)


def test_a_checkout_names_its_commit_or_none():
    assert re.fullmatch("[0-9a-f]{40}|unknown", source_commit())


def test_outside_a_checkout_the_commit_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "loop.py"))
    assert source_commit() == "unknown"
    monkeypatch.setenv("PATH", "")
    assert source_commit() == "unknown"


def test_hardware_names_processor_threads_and_torch():
    assert processor_name()
    described = describe_hardware()
    assert described.startswith(processor_name())
    assert re.search(r", \d+ threads?, torch \d", described)
