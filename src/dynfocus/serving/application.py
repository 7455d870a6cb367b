"""The application: its routes, what they share, and how it begins and ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from dynfocus.serving import openai_api
from dynfocus.serving.failures import ApiError, add_handlers, respond
from dynfocus.serving.front import add_page
from dynfocus.serving.service import Service, warnings_by_thread
from dynfocus.serving.settings import ServerSettings

if TYPE_CHECKING:
    from dynfocus.models import VideoModel


def create_application(
    settings: ServerSettings, model: VideoModel | None = None
) -> FastAPI:
    """Put the server together; it begins to load its model when it is started.

    Args:
        settings: What it is started with.
        model: What answers; by default that of the settings.
    """

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        with warnings_by_thread():
            service = Service(settings, model)
            application.state.service = service
            try:
                yield
            finally:
                await anyio.to_thread.run_sync(service.close)

    application = FastAPI(
        title="dynfocus",
        version=_version(),
        description="Questions about long videos, answered with few tokens.",
        lifespan=lifespan,
    )
    add_handlers(application)
    application.add_api_route("/healthz", show_health, tags=["Health"])
    application.add_api_route("/readyz", show_readiness, tags=["Health"])
    application.include_router(openai_api.router)
    add_page(application)
    return application


async def show_health() -> JSONResponse:
    """Tell that the server is there."""
    return JSONResponse({"status": "ok"})


async def show_readiness(request: Request) -> JSONResponse:
    """Tell whether questions are answered."""
    problem = request.app.state.service.problem
    if problem is None:
        return JSONResponse({"status": "ready"})
    return respond(ApiError(503, problem, code="not_ready", retry_seconds=2))


def _version() -> str:
    try:
        return version("dynfocus")
    except PackageNotFoundError:  # run from its folder
        return "0"
