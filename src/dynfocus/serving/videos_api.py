"""Our own routes: the videos of the library, what is in them, and questions about one."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.datastructures import UploadFile

from dynfocus.models.conversation import Turn
from dynfocus.serving.answering import OnText
from dynfocus.serving.asking import Question, Told, ask, ask_in_one
from dynfocus.serving.conversations import AskFields
from dynfocus.serving.failures import ApiError, hide_places
from dynfocus.serving.jobs import Progress
from dynfocus.serving.library import LibraryVideo
from dynfocus.serving.presence import unless_gone
from dynfocus.serving.reading import BOARD, PICTURE, make_board
from dynfocus.serving.service import Service, client_of, service_of
from dynfocus.serving.sources import add_address
from dynfocus.serving.streams import begin, event, respond_with
from dynfocus.serving.word_search import find_in
from dynfocus.text import round_floats

router = APIRouter(prefix="/dynfocus/videos", tags=["Videos"])

_MOST_TIMES = 64
_MOST_WIDTH = 16_384
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
    yield event(show(service, found), "failed" if found.state == "failed" else "ready")


@router.get("/{video_id}/storyboard", response_model=None)
async def show_storyboard(
    request: Request, video_id: str, format: str = "jpeg"
) -> Response:
    """Give the storyboard of a video as JPEG, or its times as JSON (``format=json``)."""
    service = service_of(request)
    video = find(service, video_id)
    folder = service.library.folder_of(video)
    if not (folder / BOARD).exists():
        path = _content(service, video)
        if service.videos.progress(video) is not None:
            raise ApiError(409, "the video is being read", code="not_read")
        await service.draw(_make_board, path, folder)
    if format == "json":
        text = (folder / BOARD).read_text("utf-8")
        return JSONResponse({**json.loads(text), "video": video.name})
    return FileResponse(folder / PICTURE, media_type="image/jpeg")


def _make_board(path: Path, folder: Path) -> None:
    from dynfocus.video import VideoReader

    make_board(VideoReader(path), folder)


@router.get("/{video_id}/frames", response_model=None)
async def show_frames(
    request: Request,
    video_id: str,
    times: str,
    width: Annotated[int, Query(ge=16, le=1920)] = 160,
) -> Response:
    """Give the frames at some times as one JPEG, side by side in the order of the times."""
    service = service_of(request)
    path = _content(service, find(service, video_id))
    seconds = _read_times(times)
    if len(seconds) * width > _MOST_WIDTH:
        raise ApiError(
            400,
            f"the frames together may be {_MOST_WIDTH:,} pixels wide, got "
            f"{len(seconds) * width:,}",
            parameter="width",
        )
    picture = await service.draw(_draw_frames, path, seconds, width)
    headers = {"Cache-Control": "private, max-age=3600"}
    return Response(picture, media_type="image/jpeg", headers=headers)


def _read_times(times: str) -> list[float]:
    try:
        seconds = [float(one) for one in times.split(",")]
    except ValueError:
        seconds = []
    is_wrong = not all(0 <= one < 1e9 for one in seconds)
    if not 1 <= len(seconds) <= _MOST_TIMES or is_wrong:
        raise ApiError(
            400,
            f"times must be 1 to {_MOST_TIMES} numbers of seconds with commas between "
            f"them, got {times[:40]!r}",
            parameter="times",
        )
    return seconds


def _draw_frames(path: Path, seconds: Sequence[float], width: int) -> bytes:
    from dynfocus.report import encode_jpeg
    from dynfocus.video import VideoReader

    reader = VideoReader(path)
    height = max(1, round(reader.size[0] * width / reader.size[1]))
    last = max(0.0, float(reader.duration) - 1e-3)
    wanted = [min(one, last) for one in seconds]
    order = sorted(set(wanted))
    found = reader.sample(times=order, size=(height, width))
    rows = [int(np.argmin(np.abs(found.times - one))) for one in wanted]
    return encode_jpeg(np.concatenate([found.frames[row] for row in rows], axis=1))


@router.get("/{video_id}/content", response_model=None)
async def show_content(request: Request, video_id: str) -> FileResponse:
    """Give the file itself, whole or in parts."""
    service = service_of(request)
    video = find(service, video_id)
    path = _content(service, video)
    return FileResponse(path, media_type=_media_type(path))


@router.get("/{video_id}/timeline")
async def show_timeline(
    request: Request,
    video_id: str,
    question: Annotated[str, Query(min_length=1)],
    max_video_tokens: int | None = None,
    method: str | None = None,
) -> JSONResponse:
    """Tell what a question makes of each frame; no answer is written."""
    service = service_of(request)
    video = find(service, video_id)
    options = AskFields(max_video_tokens=max_video_tokens, method=method).ask_options()
    service.model.check(**vars(options))
    job = await service.videos.indexing(video, options)
    if job is not None:
        await job.wait()
    shown = await service.videos.opened(video, options)

    def score(_: OnText) -> Any:
        return service.model.score_frames(
            shown.video, question, max_video_tokens=max_video_tokens, method=method
        )

    frames = await service.desk.answer(score, client_of(request))
    return JSONResponse(
        round_floats(
            {
                "question": question,
                "sees_question": service.model.scores_see_question,
                "times": [frame.time for frame in frames],
                "scores": [frame.score for frame in frames],
                "kinds": [frame.kind for frame in frames],
                "tokens": [frame.tokens for frame in frames],
            }
        )
    )


@router.get("/{video_id}/find")
async def find_words(
    request: Request,
    video_id: str,
    q: Annotated[str, Query(min_length=1, max_length=1000)],
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> JSONResponse:
    """Tell where something is written or said; the first time, the words are read."""
    service = service_of(request)
    video = find(service, video_id)
    job = await service.videos.reading_words(video)
    if job is not None:
        await unless_gone(request, job.wait())
    content = service.library.content(video)
    found = await anyio.to_thread.run_sync(
        find_in, service.videos.words, content, q, limit
    )
    return JSONResponse({"query": q, "results": found})


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
    await anyio.to_thread.run_sync(note)
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


def _content(service: Service, video: LibraryVideo) -> Path:
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
