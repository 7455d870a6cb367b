"""A server that listens: uvicorn with the application, until it is asked to end."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

import uvicorn

from dynfocus.serving.application import create_application
from dynfocus.serving.connections import PatientProtocol
from dynfocus.serving.settings import ServerSettings

_KEEP_ALIVE_SECONDS = 75
"""A connection that is closed earlier may be closed while a slow client sends."""


def run(settings: ServerSettings, on_start: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        settings: What the server is started with.
        on_start: Called with its address once it listens.

    Raises:
        ValueError: Other machines could reach it, and there is no key; or what answers
            cannot be loaded.
        OSError: The interface or the port cannot be listened on.
    """
    settings.protection.check_interface(settings.host)
    if settings.protection.logs_questions:
        logger = logging.getLogger("dynfocus.serving.asking")
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)
    listener = _listen(settings.host, settings.port)
    failures: list[str] = []

    def give_up(reason: str) -> None:
        failures.append(reason)
        server.should_exit = True

    config = uvicorn.Config(
        create_application(settings, on_failure=give_up),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=PatientProtocol,
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(settings.shutdown_seconds),
    )
    server = uvicorn.Server(config)
    host, port = listener.getsockname()[:2]
    on_start(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    server.run(sockets=[listener])
    if failures:
        raise ValueError(failures[0])


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
