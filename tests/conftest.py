"""What every test needs: an index of its own; and what some need: a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stand_in_server import StandInServer


@pytest.fixture(autouse=True)
def index_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Let the index on disk be an empty folder of this test."""
    folder = tmp_path_factory.mktemp("index", numbered=True)
    monkeypatch.setenv("DYNFOCUS_INDEX", str(folder))
    monkeypatch.delenv("DYNFOCUS_INDEX_GB", raising=False)
    return folder


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInServer]:
    """Run a stand-in server, with no key in the environment."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with StandInServer() as server:
        yield server
