"""A server that listens on loopback, for a module of tests, and a short video."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import uvicorn

import dynfocus
from dynfocus.models import VideoModel
from dynfocus.serving import ServerSettings, create_application
from dynfocus.world import make_video


class RunningServer:
    """An application on a port of its own."""

    def __init__(self, application) -> None:
        config = application
        if not isinstance(application, uvicorn.Config):
            config = uvicorn.Config(application, port=0, log_level="warning")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)

    def __enter__(self) -> RunningServer:
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join()

    @property
    def port(self) -> int:
        port: int = self.server.servers[0].sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


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
