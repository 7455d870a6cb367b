"""A server that listens on loopback, for a module of tests, and a short video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

import dynfocus
from dynfocus.models import VideoModel
from dynfocus.serving import ServerSettings, create_application
from dynfocus.world import make_video
from running_server import RunningServer


@pytest.fixture
def running_server() -> type[RunningServer]:
    return RunningServer


@pytest.fixture(scope="session")
def running() -> type[RunningServer]:
    return RunningServer


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> VideoModel:
    return dynfocus.load("nano", index_folder=tmp_path_factory.mktemp("served-index"))


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    make_video(path, 12, 1)
    return path


@pytest.fixture(scope="module")
def served(
    nano: VideoModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    settings = ServerSettings(
        folder=tmp_path_factory.mktemp("library"), index_workers=0
    )
    with RunningServer(create_application(settings, nano)) as server:
        yield server


@pytest.fixture
def client(served: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{served.url}/v1", api_key="none", max_retries=0
    ) as client:
        yield client
