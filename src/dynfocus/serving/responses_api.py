"""``/v1/responses`` for text: the same questions in OpenAI's newer shape."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from openai.types import responses as types
from pydantic import Field
from sse_starlette import ServerSentEvent

from dynfocus.serving.asking import Question, Told, ask, ask_in_one
from dynfocus.serving.conversations import (
    AskFields,
    Message,
    greedy_notes,
    read_conversation,
)
from dynfocus.serving.failures import ApiError
from dynfocus.serving.openai_api import check_model, describe
from dynfocus.serving.service import Service, client_of, service_of
from dynfocus.serving.sources import find_media
from dynfocus.serving.streams import begin, event

router = APIRouter(prefix="/v1", tags=["OpenAI"])


class InputMessage(Message):
    """One message of the input; other items are refused."""

    type: str = "message"


class ResponsesRequest(AskFields):
    """What ``/v1/responses`` takes."""

    model: str = Field(min_length=1)
    input: str | list[InputMessage]
    instructions: str | None = None
    stream: bool = False
    max_output_tokens: int | None = Field(default=None, ge=1)
    tools: list[Any] | None = None
    previous_response_id: str | None = None

    def check(self) -> None:
        """Refuse what would change the answer and cannot be followed.

        Raises:
            ApiError: There is such a field.
        """
        for name in ("tools", "previous_response_id"):
            if getattr(self, name):
                raise ApiError(
                    400,
                    f"{name} cannot be followed; give all turns in input, and no tools",
                    parameter=name,
                )

    @property
    def messages(self) -> list[Message]:
        """The input as messages, the instructions first."""
        said: list[Message] = []
        if isinstance(self.input, str):
            said.append(Message(role="user", content=self.input))
        else:
            said += self.input
        if self.instructions:
            said.insert(0, Message(role="system", content=self.instructions))
        return said


@router.post("/responses", response_model=None)
async def create_response(request: Request, asked: ResponsesRequest) -> Response:
    """Answer the last message of the input."""
    service = service_of(request)
    check_model(service, asked.model)
    asked.check()
    found = read_conversation(asked.messages)
    options = service.ask_options(asked, asked.max_output_tokens)
    question = Question(
        text=found.question,
        media=await find_media(service, found.media),
        options=options,
        history=found.history,
        client=client_of(request),
    )
    writer = _Writer(asked)
    if asked.stream:
        return await begin(request, writer.events(service, question))
    told = await ask_in_one(service, question, request)
    return JSONResponse(writer.response(told))


class _Writer:
    """Write one response, whole or as events."""

    def __init__(self, asked: ResponsesRequest) -> None:
        self._asked = asked
        self._number = -1
        self._item_id = f"msg_{uuid.uuid4().hex}"
        self._base: dict[str, Any] = {
            "id": f"resp_{uuid.uuid4().hex}",
            "created_at": int(time.time()),
            "model": asked.model,
            "object": "response",
            "parallel_tool_calls": False,
            "tool_choice": "none",
            "tools": [],
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
        }

    async def events(
        self, service: Service, question: Question
    ) -> AsyncIterator[ServerSentEvent]:
        """Write the answer as events, in the order that clients expect."""
        where = {"item_id": self._item_id, "output_index": 0, "content_index": 0}
        has_begun = False
        async with aclosing(ask(service, question)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                if not has_begun and isinstance(piece, str | Told):
                    has_begun = True
                    for one in self._beginning(where):
                        yield one
                if isinstance(piece, str) and piece:
                    delta = {**where, "delta": piece, "logprobs": []}
                    yield self._event("response.output_text.delta", **delta)
                elif isinstance(piece, Told):
                    for one in self._ending(where, piece):
                        yield one

    def response(self, told: Told) -> dict[str, Any]:
        """Write the answer in one piece."""
        answer = told.answer
        is_cut = answer.finish_reason == "length"
        num_read, num_written = (
            answer.prompt_tokens or answer.tokens,
            answer.answer_tokens,
        )
        made = types.Response.model_validate(
            {
                **self._base,
                "status": "incomplete" if is_cut else "completed",
                "incomplete_details": {"reason": "max_output_tokens"}
                if is_cut
                else None,
                "output": [self._item(answer.text, is_cut=is_cut)],
                "usage": {
                    "input_tokens": num_read,
                    "input_tokens_details": {
                        "cached_tokens": 0,
                        "cache_write_tokens": 0,
                        "video_tokens": answer.tokens,
                    },
                    "output_tokens": num_written or 0,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": num_read + (num_written or 0),
                },
                "dynfocus": describe(told, greedy_notes(self._asked)),
            }
        )
        return made.model_dump(mode="json", exclude_unset=True)

    def _beginning(self, where: dict[str, Any]) -> list[ServerSentEvent]:
        begun = {**self._base, "status": "in_progress", "output": []}
        item = {**self._item("", is_cut=False), "status": "in_progress", "content": []}
        part = {"type": "output_text", "text": "", "annotations": []}
        return [
            self._event("response.created", response=begun),
            self._event("response.in_progress", response=begun),
            self._event("response.output_item.added", output_index=0, item=item),
            self._event("response.content_part.added", **where, part=part),
        ]

    def _ending(self, where: dict[str, Any], told: Told) -> list[ServerSentEvent]:
        answer, response = told.answer, self.response(told)
        item = response["output"][0]
        kind = f"response.{response['status']}"
        done = {**where, "text": answer.text, "logprobs": []}
        return [
            self._event("response.output_text.done", **done),
            self._event("response.content_part.done", **where, part=item["content"][0]),
            self._event("response.output_item.done", output_index=0, item=item),
            self._event(kind, response=response),
        ]

    def _event(self, kind: str, **fields: Any) -> ServerSentEvent:
        self._number += 1
        return event({"type": kind, "sequence_number": self._number, **fields}, kind)

    def _item(self, text: str, *, is_cut: bool) -> dict[str, Any]:
        return {
            "id": self._item_id,
            "type": "message",
            "role": "assistant",
            "status": "incomplete" if is_cut else "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }
