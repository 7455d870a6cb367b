"""An application that listens on loopback, for as long as a test needs it."""

from __future__ import annotations

import threading

import uvicorn


class RunningServer:
    """An application on a port of its own."""

    def __init__(self, application) -> None:
        self.application = application
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
