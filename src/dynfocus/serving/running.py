"""A server that listens: uvicorn with the application, until it is asked to end."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from dynfocus.atomic import check_writable
from dynfocus.serving.application import create_application
from dynfocus.serving.connections import PatientProtocol
from dynfocus.serving.settings import ServerSettings

_KEEP_ALIVE_SECONDS = 75
"""A connection that is closed earlier may be closed while a slow client sends."""


def run(settings: ServerSettings, on_start: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, which ends the process, too.

    Args:
        settings: What the server is started with.
        on_start: Called with its address once it listens.

    Raises:
        ValueError: Other machines could reach it, and there is no key; or what answers
            cannot be loaded.
        OSError: The interface or the port cannot be listened on, or the library cannot be
            written to.
    """
    settings.protection.check_interface(settings.host)
    if settings.protection.logs_questions:
        logger = logging.getLogger("dynfocus.serving.asking")
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)
    settings.library_folder.mkdir(parents=True, exist_ok=True)
    check_writable(settings.library_folder / "lock", what="the library")
    listener = _listen(settings.host, settings.port)
    failures: list[str] = []

    def give_up(reason: str) -> None:
        failures.append(reason)
        server.should_exit = True

    application = create_application(settings, on_failure=give_up)
    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=PatientProtocol,
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.answer_seconds),
    )
    server = _Server(config, application, settings.shutdown_seconds)
    host, port = listener.getsockname()[:2]
    on_start(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    server.run(sockets=[listener])
    if failures:
        raise ValueError(failures[0])


class _Server(uvicorn.Server):
    """A server whose end takes no longer than allowed, whatever is in hand.

    Args:
        config: What it is started with.
        application: What it serves.
        seconds: How long its end may take.
    """

    def __init__(
        self, config: uvicorn.Config, application: FastAPI, seconds: float
    ) -> None:
        super().__init__(config)
        self._application = application
        self._seconds = seconds
        self._signal: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end, at a signal."""
        if self._signal is None:
            self._signal = sig
            # A thread that decodes or fetches cannot be made to end. As a kill loses
            # nothing that was acknowledged, so may this end be as sudden.
            last = threading.Timer(self._seconds, os._exit, (128 + sig,))
            last.daemon = True
            last.start()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Give up what waits, finish what is answered, and leave."""
        self._application.state.service.stop()
        await super().shutdown(sockets)
        if self._signal is not None:  # taking Python apart may last seconds
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(128 + self._signal)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(
            f"{host} port {port} cannot be listened on: {error.strerror}; name another "
            "with --port"
        ) from error
    listener.listen(2048)
    return listener
