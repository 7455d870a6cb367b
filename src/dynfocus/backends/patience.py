"""Give up a request in the middle when nobody waits for its answer any more.

A thread that reads from a server that is silent hears of nothing else. So another one
asks meanwhile whether the answer is still wanted, and cuts the connection if not.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

_LOOK_SECONDS = 0.25
_OPENED = ("connection.connect_tcp.complete", "connection.start_tls.complete")


@contextmanager
def while_wanted(on_text: Callable[[str], None] | None) -> Iterator[dict[str, Any]]:
    """Cut the connection of a request once nobody wants its answer.

    Args:
        on_text: Called with an empty text several times a second, in another thread;
            what it raises says that the answer is not wanted.

    Yields:
        Extensions of the request, by which its connection is known.

    Raises:
        Exception: What ``on_text`` raised.
    """
    if on_text is None:
        yield {}
        return
    connections: list[socket.socket] = []
    reasons: list[BaseException] = []
    is_over = threading.Event()

    def note(event: str, told: dict[str, Any]) -> None:
        if event in _OPENED:
            connections.append(told["return_value"].get_extra_info("socket"))

    def look() -> None:
        while not is_over.wait(_LOOK_SECONDS):
            try:
                on_text("")
            except BaseException as error:  # noqa: BLE001 raised by who waits
                reasons.append(error)
                for connection in connections:
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield {"trace": note}
    finally:
        is_over.set()
        thread.join()
        if reasons:
            raise reasons[0]
