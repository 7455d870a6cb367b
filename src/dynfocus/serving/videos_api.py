"""Our own routes: the videos of the library, and questions about one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.datastructures import UploadFile

from dynfocus.models.conversation import Turn
from dynfocus.serving.asking import Question, Told, ask, ask_in_one
from dynfocus.serving.conversations import AskFields
from dynfocus.serving.failures import ApiError, as_api_error, hide_places
from dynfocus.serving.jobs import Progress
from dynfocus.serving.library import LibraryVideo
from dynfocus.serving.service import Service, client_of, service_of
from dynfocus.serving.sources import add_address
from dynfocus.serving.streams import begin, event, respond_with

router = APIRouter(prefix="/dynfocus/videos", tags=["Videos"])

_CHUNK_BYTES = 2**20
_TYPES = {b"ftyp": "video/mp4", b"\x1aE\xdf\xa3": "video/webm"}


class AddressRequest(BaseModel):
    """A video by its address."""

    address: str = Field(min_length=1)
    name: str = ""


class PastTurn(BaseModel):
    """An earlier question and its answer."""

    question: str
    answer: str


class AskRequest(AskFields):
    """A question about a video."""

    question: str = Field(min_length=1)
    history: list[PastTurn] = []
    stream: bool = False
    max_new_tokens: int | None = None


@router.post("", status_code=201, response_model=None)
async def add_video(request: Request) -> JSONResponse:
    """Take a video in, by its address (JSON) or with its content (a form with a file).

    It is read and indexed in the background; ``events`` says how far it is.
    """
    service = service_of(request)
    service.videos.check_room()
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise ApiError(400, "the form has no file", parameter="file")
            video = await take_upload(service, file)
    else:
        asked = AddressRequest.model_validate(await read_json(request))
        video = await anyio.to_thread.run_sync(
            add_address, service, asked.address, asked.name
        )
    if video.state == "new":
        service.videos.bring(video)
    return JSONResponse(show(service, video), 201)


async def read_json(request: Request) -> Any:
    """Read the body of a request.

    Raises:
        ApiError: It is no JSON.
    """
    try:
        return await request.json()
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "the body of the request is no JSON") from error


async def take_upload(
    service: Service, file: UploadFile, *, purpose: str = "user_data"
) -> LibraryVideo:
    """Take an uploaded file into the library.

    Args:
        service: Whose library.
        file: The file.
        purpose: What the client said that it is for.
    """

    def copy() -> LibraryVideo:
        with service.library.incoming() as incoming:
            while data := file.file.read(_CHUNK_BYTES):
                incoming.write(data)
            if not incoming.num_bytes:
                raise ApiError(400, "the file is empty", parameter="file")
            name = file.filename or "video"
            return service.library.add(incoming, name, purpose=purpose)

    return await anyio.to_thread.run_sync(copy)


@router.get("")
async def list_videos(request: Request) -> JSONResponse:
    """List the videos that are kept, the one added last first."""
    service = service_of(request)
    videos = await anyio.to_thread.run_sync(service.library.videos)
    shown = [show(service, video) for video in videos if video.is_kept]
    return JSONResponse({"videos": shown})


@router.get("/{video_id}")
async def show_video(request: Request, video_id: str) -> JSONResponse:
    """Show one video."""
    service = service_of(request)
    return JSONResponse(show(service, find(service, video_id)))


@router.delete("/{video_id}")
async def delete_video(request: Request, video_id: str) -> JSONResponse:
    """Forget a video, its index and what was asked about it."""
    service = service_of(request)
    await service.videos.delete(find(service, video_id))
    return JSONResponse({"id": video_id, "deleted": True})


@router.get("/{video_id}/events", response_model=None)
async def follow_video(request: Request, video_id: str) -> EventSourceResponse:
    """Tell how far a video is: ``progress``, and at last ``ready`` or ``failed``."""
    service = service_of(request)
    events = _progress(service, find(service, video_id))
    return respond_with(request, events)


async def _progress(
    service: Service, video: LibraryVideo
) -> AsyncIterator[ServerSentEvent]:
    job = service.jobs.find(("bring", video.id))
    if job is None and video.state == "new":
        job = service.videos.bring(video)
    if job is not None:
        async with aclosing(job.changes()) as changes:  # type: ignore[type-var]
            async for progress in changes:
                yield event(asdict(progress), "progress")
    found = service.library.find(video.id)
    if found is None:
        document = {"id": video.id, "problem": "it was deleted"}
        yield event(document, "failed")
        return
    shown = show(service, found)
    if found.state == "new":  # which is all that the library could be told
        shown["problem"] = "the work on this video was given up"
    yield event(shown, "ready" if found.state == "ready" else "failed")


@router.get("/{video_id}/content", response_model=None)
async def show_content(request: Request, video_id: str) -> FileResponse:
    """Give the file itself, whole or in parts."""
    service = service_of(request)
    video = find(service, video_id)
    path = content_of(service, video)
    return FileResponse(path, media_type=_media_type(path))


@router.post("/{video_id}/ask", response_model=None)
async def ask_video(request: Request, video_id: str, asked: AskRequest) -> Response:
    """Answer a question about a video, in one piece or as events.

    Events are ``progress`` while it is indexed, ``delta`` with each piece of the answer,
    and at last ``answer``.
    """
    service = service_of(request)
    video = find(service, video_id)
    question = Question(
        text=asked.question,
        media=(video,),
        options=service.ask_options(asked, asked.max_new_tokens),
        history=tuple(Turn(one.question, one.answer) for one in asked.history),
        client=client_of(request),
    )
    if asked.stream:
        return await begin(request, _answer(service, video, question), named=True)
    told = await ask_in_one(service, question, request)
    return JSONResponse(await _note(service, video, question, told))


async def _answer(
    service: Service, video: LibraryVideo, question: Question
) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(ask(service, question)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            if isinstance(piece, Progress):
                yield event({"progress": asdict(piece)}, "progress")
            elif isinstance(piece, Told):
                answer = await _note(service, video, question, piece)
                yield event({"answer": answer}, "answer")
            elif piece:
                yield event({"delta": piece}, "delta")


async def _note(
    service: Service, video: LibraryVideo, question: Question, told: Told
) -> dict[str, Any]:
    """Write an answer into the history of its video; gives what a client is told."""
    options = {
        name: value
        for name, value in asdict(question.options).items()
        if value not in (None, ())
    }
    answer = {
        "asked": round(time.time(), 3),
        "video": video.id,
        "name": video.name,
        "model": service.name,
        "options": options,
        **told.to_dict(),
    }
    note = partial(service.library.note_question, video, answer)
    try:
        await anyio.to_thread.run_sync(note)
    except OSError as error:  # the answer is there all the same
        answer["warnings"].append(f"the answer is not kept: {as_api_error(error)}")
    return answer


@router.get("/{video_id}/questions")
async def list_questions(request: Request, video_id: str) -> JSONResponse:
    """List what was asked about a video here, with the answers, in order."""
    service = service_of(request)
    video = find(service, video_id)
    found = await anyio.to_thread.run_sync(service.library.questions, video)
    return JSONResponse({"questions": found})


def find(service: Service, video_id: str) -> LibraryVideo:
    """Give a video of the library.

    Raises:
        ApiError: There is none of this id.
    """
    video = service.library.find(video_id)
    if video is None:
        raise ApiError(404, "there is no such video", code="not_found")
    return video


def show(service: Service, video: LibraryVideo) -> dict[str, Any]:
    """Tell what clients may know of a video."""
    progress = service.videos.progress(video)
    facts = dict(video.facts or {})
    if "warnings" in facts:
        facts["warnings"] = [hide_places(one) for one in facts["warnings"]]
    state = "working" if progress is not None and video.state == "new" else video.state
    return {
        "id": video.id,
        "name": video.name,
        "state": state,
        "problem": video.problem,
        "created": round(video.created, 3),
        "num_bytes": video.num_bytes,
        "address": video.shown_address,
        "progress": None if progress is None else asdict(progress),
        "num_questions": service.library.count_questions(video),
        **facts,
    }


def content_of(service: Service, video: LibraryVideo) -> Path:
    """Give the file of a video.

    Raises:
        ApiError: It is not fetched yet.
    """
    path = service.library.content(video)
    if not path.exists():
        raise ApiError(409, "the video is not fetched yet", code="not_fetched")
    return path


def _media_type(path: Path) -> str:
    """Tell what a file is by how it begins."""
    with path.open("rb") as file:
        head = file.read(16)
    if head[4:8] == b"ftyp":
        return _TYPES[b"ftyp"]
    return _TYPES.get(head[:4], "application/octet-stream")
