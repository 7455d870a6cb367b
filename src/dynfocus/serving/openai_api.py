"""The routes that clients of OpenAI know: models and chat completions."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from openai.types import CompletionUsage, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from sse_starlette import ServerSentEvent

from dynfocus.serving.asking import Question, Told, ask, ask_in_one
from dynfocus.serving.conversations import ChatRequest, read_conversation
from dynfocus.serving.failures import ApiError
from dynfocus.serving.jobs import Progress
from dynfocus.serving.service import Service, client_of, service_of
from dynfocus.serving.sources import find_media
from dynfocus.serving.streams import begin, event

router = APIRouter(prefix="/v1", tags=["OpenAI"])


@router.get("/models")
async def list_models(request: Request) -> JSONResponse:
    """List what answers."""
    return JSONResponse({"object": "list", "data": [_model(service_of(request))]})


@router.get("/models/{name:path}")
async def show_model(request: Request, name: str) -> JSONResponse:
    """Show one model."""
    service = service_of(request)
    check_model(service, name)
    return JSONResponse(_model(service))


@router.post("/chat/completions", response_model=None)
async def complete_chat(request: Request, asked: ChatRequest) -> Response:
    """Answer the last message of a conversation about videos."""
    service = service_of(request)
    check_model(service, asked.model)
    asked.check()
    found = read_conversation(asked.messages)
    most = asked.max_completion_tokens or asked.max_tokens
    options = service.ask_options(asked, most, asked.stops)
    question = Question(
        text=found.question,
        media=await find_media(service, found.media),
        options=options,
        history=found.history,
        client=client_of(request),
    )
    if asked.stream:
        return await begin(request, _chunks(service, question, asked))
    told = await ask_in_one(service, question, request)
    return JSONResponse(_completion(told, asked))


def check_model(service: Service, name: str) -> None:
    """Refuse a model that is not served.

    Raises:
        ApiError: It is not.
    """
    if name != service.name:
        raise ApiError(
            404,
            f"there is no model {name[:80]!r}; {service.name} is served",
            parameter="model",
            code="model_not_found",
        )


async def _chunks(
    service: Service, question: Question, asked: ChatRequest
) -> AsyncIterator[ServerSentEvent]:
    """Write an answer as chunks, while it is written."""
    base = {**_base("chat.completion.chunk", service), "id": _new_id()}

    def chunk(delta: dict[str, Any], **more: Any) -> ServerSentEvent:
        reason = more.pop("finish_reason", None)
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        made = ChatCompletionChunk.model_validate({**base, "choices": [choice], **more})
        return event(made.model_dump_json(exclude_unset=True))

    has_begun = False
    async with aclosing(ask(service, question)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            if not has_begun and not isinstance(piece, Progress):
                has_begun = True
                yield chunk({"role": "assistant", "content": ""})
            if isinstance(piece, str) and piece:
                yield chunk({"content": piece})
            elif isinstance(piece, Told):
                reason = piece.answer.finish_reason or "stop"
                told = describe(piece, asked.notes)
                yield chunk({}, finish_reason=reason, dynfocus=told)
                if asked.stream_options and asked.stream_options.include_usage:
                    yield event({**base, "choices": [], "usage": usage_of(piece)})
    yield event("[DONE]")


def _completion(told: Told, asked: ChatRequest) -> dict[str, Any]:
    answer = told.answer
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": answer.text},
        "finish_reason": answer.finish_reason or "stop",
    }
    made = ChatCompletion.model_validate(
        {
            "id": _new_id(),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": asked.model,
            "choices": [choice],
            "usage": usage_of(told),
            "dynfocus": describe(told, asked.notes),
        }
    )
    return made.model_dump(mode="json", exclude_unset=True)


def describe(told: Told, notes: list[str]) -> dict[str, Any]:
    """Tell what an answer cost and where it was seen: which frames were Cones.

    Args:
        told: The answer.
        notes: What else is to be said.
    """
    answer = told.answer
    kinds = [frame.kind for frame in answer.frames]
    return {
        "video_tokens": answer.tokens,
        "seconds": round(answer.seconds, 4),
        "best_time": answer.best_time,
        "best_video": answer.best_video,
        "confidence": answer.confidence,
        "num_frames": len(answer.frames),
        "num_cones": sum(kind in ("cone", "high") for kind in kinds),
        "cones": [
            {
                "video": frame.video,
                "index": frame.index,
                "time": round(frame.time, 3),
                "score": round(frame.score, 4),
                "kind": frame.kind,
                "tokens": frame.tokens,
            }
            for frame in answer.frames
            if frame.is_fine
        ],
        "looks": None if answer.looks is None else answer.looks.intervals,
        "warnings": [*told.warnings, *notes],
    }


def usage_of(told: Told) -> dict[str, Any]:
    """Count the tokens of an answer, those of the video among those of the prompt."""
    answer = told.answer
    num_read, num_written = answer.prompt_tokens or answer.tokens, answer.answer_tokens
    usage = CompletionUsage(
        prompt_tokens=num_read,
        completion_tokens=num_written or 0,
        total_tokens=num_read + (num_written or 0),
    )
    details = {"cached_tokens": 0, "video_tokens": answer.tokens}
    return {**usage.model_dump(exclude_unset=True), "prompt_tokens_details": details}


def _new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"


def _base(kind: str, service: Service) -> dict[str, Any]:
    return {"object": kind, "created": int(time.time()), "model": service.name}


def _model(service: Service) -> dict[str, Any]:
    made = Model(
        id=service.name,
        created=int(service.started_seconds),
        object="model",
        owned_by="dynfocus",
    )
    return made.model_dump(exclude_unset=True)
