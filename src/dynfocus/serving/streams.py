"""Server-sent events of an answer: what all streams share."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from sse_starlette import EventSourceResponse, ServerSentEvent

from dynfocus.serving.failures import as_api_error
from dynfocus.serving.presence import unless_gone

if TYPE_CHECKING:
    from fastapi import Request

PING_SECONDS = 15
"""A stream that has nothing to say shows so often that it lives."""

SEND_SECONDS = 60.0
"""A client that takes nothing for so long is given up."""


def event(document: Any, name: str | None = None) -> ServerSentEvent:
    """Make an event of a document."""
    data = document if isinstance(document, str) else json.dumps(document)
    return ServerSentEvent(data, event=name)


def respond_with(
    request: Request, events: AsyncIterator[ServerSentEvent]
) -> EventSourceResponse:
    """Answer with events; when the server is stopped, they may go on for a while."""
    seconds: float = request.app.state.service.settings.answer_seconds
    return EventSourceResponse(
        events,
        ping=PING_SECONDS,
        send_timeout=SEND_SECONDS,
        shutdown_grace_period=seconds,
    )


async def begin(
    request: Request, events: AsyncIterator[ServerSentEvent], *, named: bool = False
) -> EventSourceResponse:
    """Answer with events, or with a failure if that comes before the first event.

    Args:
        request: The request, whose body was read.
        events: The events.
        named: Whether a failure after the first is an event named ``error``.
    """
    first = await unless_gone(request, anext(events))

    async def all_of_them() -> AsyncIterator[ServerSentEvent]:
        try:
            yield first
            async for one in events:
                yield one
        except Exception as error:  # noqa: BLE001 the status is sent: the stream says it
            document = as_api_error(error).to_dict()
            yield event(document, "error" if named else None)
        finally:
            await events.aclose()  # type: ignore[attr-defined]

    return respond_with(request, all_of_them())
