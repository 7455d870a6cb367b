"""What the page needs besides videos: the model, an example, what to ask, a report."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import torch
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from torch import Tensor

from dynfocus.index import VideoIndex
from dynfocus.models.conversation import Answer, FrameReport, LookReport
from dynfocus.serving.failures import ApiError
from dynfocus.serving.library import Library, LibraryVideo
from dynfocus.serving.service import service_of
from dynfocus.serving.videos_api import find, show
from dynfocus.serving.world_videos import add_example_video, known_questions

if TYPE_CHECKING:
    from dynfocus.world import WorldQuestion

router = APIRouter(prefix="/dynfocus", tags=["Page"])


@router.get("/about")
async def show_about(request: Request) -> JSONResponse:
    """Tell what answers, and what can be chosen when it is asked."""
    service = service_of(request)
    about: dict[str, Any] = {"model": service.name, "problem": service.problem}
    if service.problem is None:
        facts = service.host.facts
        about |= {
            "methods": list(facts.methods),
            "remembers_turns": "turns" in facts.abilities,
        }
    return JSONResponse(about)


@router.post("/example", status_code=201)
async def add_example(request: Request) -> JSONResponse:
    """Make a FocusWorld video and take it in; it is there once however often asked."""
    service = service_of(request)
    service.videos.check_room()
    video = await anyio.to_thread.run_sync(add_example_video, service.library)
    if video.state == "new":
        service.videos.bring(video)
    return JSONResponse(show(service, video), 201)


@router.get("/videos/{video_id}/suggestions")
async def suggest_questions(request: Request, video_id: str) -> JSONResponse:
    """List questions to try, with their answers, where the truth about a video is known."""
    service = service_of(request)
    video = find(service, video_id)
    found = await anyio.to_thread.run_sync(known_questions, service.library, video)
    first_of_kind: dict[str, WorldQuestion] = {}
    for one in found:
        first_of_kind.setdefault(one.kind, one)
    ordered = [*first_of_kind.values()]
    ordered += [one for one in found if one not in ordered]
    suggestions = [
        {"question": one.question, "truth": one.answer, "evidence": one.evidence}
        for one in ordered
    ]
    return JSONResponse({"suggestions": suggestions})


@router.delete("/videos/{video_id}/questions/{asked}")
async def delete_question(
    request: Request, video_id: str, asked: float
) -> JSONResponse:
    """Forget a question about a video, by when it was asked."""
    service = service_of(request)
    video = find(service, video_id)
    forget = service.library.forget_question
    if not await anyio.to_thread.run_sync(forget, video, asked):
        raise ApiError(404, "there is no such question", code="not_found")
    return JSONResponse({"asked": asked, "deleted": True})


@router.get("/videos/{video_id}/report", response_model=None)
async def write_report(request: Request, video_id: str) -> Response:
    """Give all questions about a video as one HTML page that needs nothing else."""
    service = service_of(request)
    video = find(service, video_id)
    records = await anyio.to_thread.run_sync(service.library.questions, video)
    if not records:
        raise ApiError(409, "nothing was asked about this video", code="no_questions")
    page = await anyio.to_thread.run_sync(_draw_report, service.library, video, records)
    headers = {"Content-Disposition": 'attachment; filename="report.html"'}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


def _draw_report(
    library: Library, video: LibraryVideo, records: Sequence[dict[str, Any]]
) -> bytes:
    from dynfocus.evaluation import is_right
    from dynfocus.report import write_report as write

    answers = [read_answer(record) for record in records]
    known = {one.question: one for one in known_questions(library, video)}
    truths = [known.get(answer.question) for answer in answers]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        write(
            path,
            _as_index(library, video, records[-1], Path(folder) / "video"),
            answers,
            title=video.name,
            truths=[truth.answer if truth else None for truth in truths],
            verdicts=[
                is_right(truth, answer.text) if truth else None
                for truth, answer in zip(truths, answers, strict=True)
            ],
            evidence=[truth.evidence if truth else () for truth in truths],
        )
        return path.read_bytes()


@dataclass(frozen=True)
class _Sampled:
    """How many frames were sampled; none is kept, so their pictures are read again."""

    num_frames: int
    pts_seconds: Tensor


def _as_index(
    library: Library, video: LibraryVideo, record: dict[str, Any], folder: Path
) -> VideoIndex:
    """Give a report what it needs of a video, under the name that people know."""
    from dynfocus.video import VideoReader

    path = library.content(video)
    with suppress(OSError):  # where the system has no links, it keeps its own name
        folder.mkdir()
        (folder / video.name).symlink_to(path.absolute())
        path = folder / video.name
    return VideoIndex(
        features=_Sampled(len(record["frames"]), torch.empty(0)),
        source=str(path),
        duration=float(VideoReader(path).duration),
        fps=record["options"].get("fps", 1.0),
    )


def read_answer(record: dict[str, Any]) -> Answer:
    """Make an answer of what the history of a video keeps of it."""
    known = {one.name for one in fields(Answer)}
    told = {name: value for name, value in record.items() if name in known}
    told["frames"] = [FrameReport(**frame) for frame in record["frames"]]
    if record.get("looks") is not None:
        looks = dict(record["looks"])
        looks["intervals"] = [(start, end) for start, end in looks["intervals"]]
        told["looks"] = LookReport(**looks)
    return Answer(**told)
