"""The application: its routes, what they share, and how it begins and ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from dynfocus.serving import (
    files_api,
    openai_api,
    page_api,
    responses_api,
    videos_api,
    views_api,
)
from dynfocus.serving.failures import ApiError, add_handlers, respond
from dynfocus.serving.front import add_page
from dynfocus.serving.guard import Guard
from dynfocus.serving.metrics import Measured, Metrics, show_metrics
from dynfocus.serving.noted import warnings_by_thread
from dynfocus.serving.service import Service
from dynfocus.serving.settings import ServerSettings
from dynfocus.video.confinement import confining

if TYPE_CHECKING:
    from dynfocus.serving.answerers import Answerer


def create_application(
    settings: ServerSettings,
    model: Answerer | None = None,
    *,
    on_failure: Callable[[str], None] | None = None,
) -> FastAPI:
    """Put the server together; it begins to load its model when it is started.

    Args:
        settings: What it is started with.
        model: What answers; by default that of the settings.
        on_failure: Called with the reason where that cannot be loaded.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        with warnings_by_thread(), confining(settings.protection.decoding):
            service = Service(settings, model, metrics, on_failure)
            application.state.service = service
            try:
                service.start()
                yield
            finally:
                await service.close()

    application = FastAPI(
        title="dynfocus",
        version=_version(),
        description="Questions about long videos, answered with few tokens.",
        lifespan=lifespan,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
    )
    application.add_middleware(
        Guard, protection=settings.protection, host=settings.host
    )
    application.state.metrics = metrics
    application.add_middleware(Measured, metrics=metrics)
    add_handlers(application)
    application.add_api_route("/healthz", show_health, tags=["Health"])
    application.add_api_route("/readyz", show_readiness, tags=["Health"])
    application.add_api_route("/metrics", show_metrics, tags=["Health"])
    for part in (
        openai_api,
        files_api,
        responses_api,
        videos_api,
        views_api,
        page_api,
    ):
        application.include_router(part.router)
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
