"""What is in a video: its storyboard, frames, scores for a question, and words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from dynfocus.serving.answering import OnText
from dynfocus.serving.conversations import AskFields
from dynfocus.serving.failures import ApiError
from dynfocus.serving.presence import unless_gone
from dynfocus.serving.reading import BOARD, PICTURE, make_board
from dynfocus.serving.service import client_of, service_of
from dynfocus.serving.videos_api import content_of, find
from dynfocus.serving.word_search import find_in
from dynfocus.text import round_floats

router = APIRouter(prefix="/dynfocus/videos", tags=["Videos"])

_MOST_TIMES = 64
_MOST_WIDTH = 16_384


@router.get("/{video_id}/storyboard", response_model=None)
async def show_storyboard(
    request: Request, video_id: str, format: str = "jpeg"
) -> Response:
    """Give the storyboard of a video as JPEG, or its times as JSON (``format=json``)."""
    service = service_of(request)
    video = find(service, video_id)
    folder = service.library.folder_of(video)
    if not (folder / BOARD).exists():
        path = content_of(service, video)
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
    path = content_of(service, find(service, video_id))
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
    await service.check(options)
    job = await service.videos.indexing(video, options)
    if job is not None:
        await job.wait()
    file = service.videos.file_of(video)

    def score(on_text: OnText) -> Any:
        return service.host.call(
            "score_frames", question, file, options, on_text=on_text
        )

    frames = await service.desk.answer(score, client_of(request))
    return JSONResponse(
        round_floats(
            {
                "question": question,
                "sees_question": service.host.facts.scores_see_question,
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
