"""A stand-in for a server, for every test that needs one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stand_in_server import StandInServer


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInServer]:
    """Run a stand-in server, with no key in the environment."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with StandInServer() as server:
        yield server
