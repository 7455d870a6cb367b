"""What every test needs: folders of its own; and what some need: a server."""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from hypothesis import settings

from stand_in_hub import StandInHub
from stand_in_server import StandInServer
from web_server import CERTIFICATE, WebServer


def pytest_configure() -> None:
    """Give each of several workers one core; their threads would only get in the way."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # of processes that tests start
        torch.set_num_threads(1)


settings.register_profile("any machine", deadline=None)  # busy ones are slow, not wrong
settings.load_profile("any machine")


@pytest.fixture(scope="session", autouse=True)
def imported_once() -> None:
    """Spare whatever looks for garbage all modules that are imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def new_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make empty folders; for a numbered one pytest would look through all before it."""
    base = tmp_path_factory.mktemp("empty")

    def make() -> Iterator[Path]:
        for number in itertools.count():
            folder = base / str(number)
            folder.mkdir()
            yield folder

    return make()


@pytest.fixture(autouse=True)
def index_folder(new_folders: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the index on disk be an empty folder of this test."""
    folder = next(new_folders)
    monkeypatch.setenv("DYNFOCUS_INDEX", str(folder))
    monkeypatch.delenv("DYNFOCUS_INDEX_GB", raising=False)
    return folder


@pytest.fixture(autouse=True)
def hub_cache(new_folders: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the hub's cache and the user's settings be empty, for this test alone."""
    folder = next(new_folders)
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.delenv("DYNFOCUS_MODEL", raising=False)
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    """Run a stand-in hub that holds nothing."""
    with StandInHub() as server:
        address = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield server


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInServer]:
    """Run a stand-in server, with no key in the environment."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with StandInServer() as server:
        yield server


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """Run a web server of files that holds nothing."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with WebServer() as server:
        yield server


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Write the certificate of the secure web server, which nobody trusts, to a file."""
    path = tmp_path / "localhost.pem"
    path.write_text(CERTIFICATE)
    return path


@pytest.fixture
def secure_web(certificate: Path) -> Iterator[WebServer]:
    """Run a web server of files for https."""
    with WebServer(certificate) as server:
        yield server
