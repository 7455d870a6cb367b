"""Work for a client, given up when the client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from fastapi import Request

Result = TypeVar("Result")


async def unless_gone(request: Request, work: Awaitable[Result]) -> Result:
    """Wait for some work, unless whoever asked for it goes away first.

    Args:
        request: The request, whose body was read.
        work: The work; it is cancelled when nobody waits for it.

    Raises:
        ConnectionAbortedError: Nobody waits for it.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.create_task(_go_away(request))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ConnectionAbortedError("whoever asked is gone")
    finally:
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def _go_away(request: Request) -> None:
    """Wait until the client goes away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
