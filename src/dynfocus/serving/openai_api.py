"""The routes that clients of OpenAI know."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from openai.types import CompletionUsage, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from sse_starlette import EventSourceResponse, ServerSentEvent

from dynfocus.models.conversation import Answer
from dynfocus.serving.answering import OnText
from dynfocus.serving.conversations import Asked, ChatRequest, read_conversation
from dynfocus.serving.failures import ApiError, as_api_error
from dynfocus.serving.service import Service, noted_warnings
from dynfocus.serving.sources import open_video

router = APIRouter(prefix="/v1", tags=["OpenAI"])


def service_of(request: Request) -> Service:
    """Give what the requests of an application share."""
    service: Service = request.app.state.service
    return service


@router.get("/models")
async def list_models(request: Request) -> JSONResponse:
    """List what answers."""
    return JSONResponse({"object": "list", "data": [_model(service_of(request))]})


@router.get("/models/{name:path}")
async def show_model(request: Request, name: str) -> JSONResponse:
    """Show one model."""
    service = service_of(request)
    if name != service.settings.model:
        raise ApiError(404, f"there is no model {name!r}", parameter="model")
    return JSONResponse(_model(service))


@router.post("/chat/completions", response_model=None)
async def complete_chat(request: Request, asked: ChatRequest) -> Response:
    """Answer the last message of a conversation about videos."""
    service = service_of(request)
    found = read_conversation(asked.messages)
    if not found.media:
        raise ApiError(
            400,
            "there is no video; add a part of type video_url to a message",
            parameter="messages",
        )
    service.model.check(**vars(asked.options))
    ask = partial(_ask, service, asked, found)
    if asked.stream:
        pieces = service.desk.stream(ask)
        return EventSourceResponse(_chunks(pieces, asked), ping=15)
    answer = await service.desk.answer(ask)
    return JSONResponse(_completion(answer, asked))


def _ask(service: Service, asked: ChatRequest, found: Asked, on_text: OnText) -> Answer:
    """Answer in a thread of the desk."""
    folder = service.settings.library_folder / "passing"
    with noted_warnings():
        model, options = service.model, asked.options
        videos = [open_video(one.address, folder) for one in found.media]
        chat = model.chat(
            videos if len(videos) > 1 else videos[0],
            progress=lambda *_: on_text(""),
            **vars(options),
        )
        chat.turns += found.history
        return chat.ask(found.question, on_text=on_text)


async def _chunks(
    pieces: AsyncIterator[str | Answer], asked: ChatRequest
) -> AsyncIterator[ServerSentEvent]:
    base = _base("chat.completion.chunk", asked)
    base["id"] = f"chatcmpl-{uuid.uuid4().hex}"

    def event(delta: dict[str, Any], **more: Any) -> ServerSentEvent:
        choice = {"index": 0, "delta": delta, "finish_reason": more.pop("reason", None)}
        chunk = ChatCompletionChunk.model_validate(
            {**base, "choices": [choice], **more}
        )
        return ServerSentEvent(chunk.model_dump_json(exclude_unset=True))

    yield event({"role": "assistant", "content": ""})
    try:
        async for piece in pieces:
            if isinstance(piece, str):
                if piece:
                    yield event({"content": piece})
                continue
            yield event({}, reason="stop", dynfocus=describe(piece))
            if asked.stream_options and asked.stream_options.include_usage:
                last = {**base, "choices": [], "usage": _usage(piece)}
                yield ServerSentEvent(json.dumps(last))
    except Exception as error:  # noqa: BLE001 the stream has begun: it says what failed
        yield ServerSentEvent(json.dumps(as_api_error(error).to_dict()))
        return
    yield ServerSentEvent("[DONE]")


def _completion(answer: Answer, asked: ChatRequest) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer.text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    made = ChatCompletion.model_validate(
        {
            **_base("chat.completion", asked),
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "choices": [choice],
            "usage": _usage(answer),
            "dynfocus": describe(answer),
        }
    )
    return made.model_dump(mode="json", exclude_unset=True)


def describe(answer: Answer) -> dict[str, Any]:
    """Tell what an answer cost and where it was seen: which frames were Cones."""
    return {
        "video_tokens": answer.tokens,
        "seconds": round(answer.seconds, 4),
        "best_time": answer.best_time,
        "confidence": answer.confidence,
        "num_frames": len(answer.frames),
        "cones": [
            {
                "video": frame.video,
                "time": frame.time,
                "score": frame.score,
                "tokens": frame.tokens,
            }
            for frame in answer.frames
            if frame.is_fine
        ],
    }


def _usage(answer: Answer) -> dict[str, Any]:
    usage = CompletionUsage(
        prompt_tokens=answer.tokens, completion_tokens=0, total_tokens=answer.tokens
    )
    details = {"video_tokens": answer.tokens}
    return {**usage.model_dump(exclude_unset=True), "prompt_tokens_details": details}


def _base(kind: str, asked: ChatRequest) -> dict[str, Any]:
    return {"object": kind, "created": int(time.time()), "model": asked.model}


def _model(service: Service) -> dict[str, Any]:
    made = Model(
        id=service.settings.model,
        created=int(service.started_seconds),
        object="model",
        owned_by="dynfocus",
    )
    return made.model_dump(exclude_unset=True)
