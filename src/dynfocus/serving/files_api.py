"""Files as clients of OpenAI upload them, whole or in parts: the videos of the library."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse
from openai.types import FileDeleted, FileObject, Upload
from openai.types.uploads import UploadPart
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile

from dynfocus.serving.failures import ApiError
from dynfocus.serving.library import LibraryVideo
from dynfocus.serving.service import service_of
from dynfocus.serving.uploads import PartialUpload, Uploads
from dynfocus.serving.videos_api import find, show_content, take_upload

router = APIRouter(prefix="/v1", tags=["Files"])

_MOST_LISTED = 10_000
_PURPOSE = "user_data"
_STATES = {"new": "uploaded", "ready": "processed", "failed": "error"}


class UploadRequest(BaseModel):
    """What an upload in parts will be."""

    model_config = ConfigDict(extra="allow")

    filename: str = Field(min_length=1)
    bytes: int = Field(ge=1)
    purpose: str = _PURPOSE
    mime_type: str = ""


class CompleteRequest(BaseModel):
    """The parts of an upload in order."""

    model_config = ConfigDict(extra="allow")

    part_ids: list[str] = Field(min_length=1)
    md5: str | None = None


@router.post("/files", response_model=None)
async def create_file(request: Request) -> JSONResponse:
    """Take in a file: a form with ``file`` and ``purpose``."""
    service = service_of(request)
    service.videos.check_room()
    async with request.form(max_files=1) as form:
        file, purpose = form.get("file"), form.get("purpose")
        if not isinstance(file, UploadFile):
            raise ApiError(400, "the form has no file", parameter="file")
        video = await take_upload(service, file, purpose=str(purpose or _PURPOSE))
    if video.state == "new":
        service.videos.bring(video)
    return JSONResponse(_file(video))


@router.get("/files")
async def list_files(
    request: Request,
    purpose: str | None = None,
    limit: int = _MOST_LISTED,
    after: str | None = None,
    order: str = "desc",
) -> JSONResponse:
    """List the files that are kept, the one added last first."""
    videos = await anyio.to_thread.run_sync(service_of(request).library.videos)
    kept = [
        video for video in videos if video.is_kept and purpose in (None, video.purpose)
    ]
    if order == "asc":
        kept.reverse()
    ids = [video.id for video in kept]
    start = ids.index(after) + 1 if after in ids else 0
    page = kept[start : start + max(1, min(limit, _MOST_LISTED))]
    return JSONResponse(
        {
            "object": "list",
            "data": [_file(video) for video in page],
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
            "has_more": start + len(page) < len(kept),
        }
    )


@router.get("/files/{file_id}")
async def show_file(request: Request, file_id: str) -> JSONResponse:
    """Show one file."""
    return JSONResponse(_file(find(service_of(request), file_id)))


@router.get("/files/{file_id}/content", response_model=None)
async def show_file_content(request: Request, file_id: str) -> FileResponse:
    """Give the file itself, whole or in parts."""
    return await show_content(request, file_id)


@router.delete("/files/{file_id}")
async def delete_file(request: Request, file_id: str) -> JSONResponse:
    """Forget a file and all that was made of it."""
    service = service_of(request)
    await service.videos.delete(find(service, file_id))
    told = FileDeleted(id=file_id, deleted=True, object="file")
    return JSONResponse(told.model_dump())


@router.post("/uploads")
async def create_upload(request: Request, asked: UploadRequest) -> JSONResponse:
    """Begin an upload in parts."""
    uploads = _uploads(request)
    most = service_of(request).settings.protection.max_upload_bytes
    if asked.bytes > most:
        raise ApiError(
            413, f"a file may have {most:,} bytes at most", parameter="bytes"
        )
    made = await anyio.to_thread.run_sync(
        uploads.create, asked.filename, asked.bytes, asked.purpose
    )
    return JSONResponse(_upload(made, "pending"))


@router.post("/uploads/{upload_id}/parts", response_model=None)
async def add_part(request: Request, upload_id: str) -> JSONResponse:
    """Take in a part of an upload: a form with ``data``."""
    uploads = _uploads(request)
    upload = uploads.find(upload_id)
    async with request.form(max_files=1) as form:
        data = form.get("data")
        if not isinstance(data, UploadFile):
            raise ApiError(400, "the form has no data", parameter="data")
        content = await data.read()
    part_id = await anyio.to_thread.run_sync(uploads.add_part, upload, content)
    part = UploadPart(
        id=part_id,
        created_at=int(upload.created),
        object="upload.part",
        upload_id=upload.id,
    )
    return JSONResponse(part.model_dump())


@router.post("/uploads/{upload_id}/complete")
async def complete_upload(
    request: Request, upload_id: str, asked: CompleteRequest
) -> JSONResponse:
    """Put the parts of an upload together."""
    uploads, service = _uploads(request), service_of(request)
    upload = uploads.find(upload_id)
    video = await anyio.to_thread.run_sync(
        uploads.complete, upload, asked.part_ids, asked.md5
    )
    if video.state == "new":
        service.videos.bring(video)
    return JSONResponse(_upload(upload, "completed", _file(video)))


@router.post("/uploads/{upload_id}/cancel")
async def cancel_upload(request: Request, upload_id: str) -> JSONResponse:
    """Give an upload up."""
    uploads = _uploads(request)
    upload = uploads.find(upload_id)
    await anyio.to_thread.run_sync(uploads.cancel, upload)
    return JSONResponse(_upload(upload, "cancelled"))


def _uploads(request: Request) -> Uploads:
    return Uploads(service_of(request).library)


def _file(video: LibraryVideo) -> dict[str, Any]:
    made = FileObject.model_construct(
        id=video.id,
        bytes=video.num_bytes or 0,
        created_at=int(video.created),
        filename=video.name,
        object="file",
        purpose=video.purpose,
        status=_STATES[video.state],
        status_details=video.problem,
    )
    return made.model_dump(warnings=False)


def _upload(
    upload: PartialUpload, status: str, file: dict[str, Any] | None = None
) -> dict[str, Any]:
    made = Upload.model_validate(
        {
            "id": upload.id,
            "bytes": upload.num_bytes,
            "created_at": int(upload.created),
            "expires_at": int(upload.expires),
            "filename": upload.filename,
            "object": "upload",
            "purpose": upload.purpose,
            "status": status,
        }
    )
    return {**made.model_dump(), "file": file}
