"""What a server counts, for Prometheus; nothing of what is asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.responses import Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from dynfocus.models.conversation import Answer
    from dynfocus.serving.service import Service

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class Metrics:
    """The counts of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "dynfocus_requests",
            "Requests answered",
            ["route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "dynfocus_request_seconds",
            "Time from a request to the end of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._answers = Counter(
            "dynfocus_answers", "Questions answered", registry=self.registry
        )
        self._answer_seconds = Histogram(
            "dynfocus_answer_seconds",
            "Time from the begin of an answer to its end, without waiting",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._video_tokens = Counter(
            "dynfocus_video_tokens",
            "Video tokens read for answers",
            registry=self.registry,
        )
        self._frames = Counter(
            "dynfocus_frames",
            "Frames read for answers",
            ["kind"],
            registry=self.registry,
        )

    def watch(self, service: Service) -> None:
        """Show how much waits and is being done, whenever somebody looks."""
        desk, jobs, workers = service.desk, service.jobs, service.workers
        for name, text, value in (
            ("questions_waiting", "Questions that wait", lambda: desk.num_waiting),
            ("questions_busy", "Questions being answered", lambda: desk.num_busy),
            (
                "videos_waiting",
                "Videos that wait to be read",
                lambda: workers.num_waiting,
            ),
            ("jobs", "Jobs with videos in hand", lambda: len(jobs.items())),
        ):
            gauge = Gauge(f"dynfocus_{name}", text, registry=self.registry)
            gauge.set_function(value)

    def note(self, answer: Answer) -> None:
        """Count an answer."""
        self._answers.inc()
        self._answer_seconds.observe(answer.seconds)
        self._video_tokens.inc(answer.tokens)
        for frame in answer.frames:
            self._frames.labels(frame.kind).inc()


class Measured:
    """Count the requests that an application answers.

    Args:
        application: The application.
        metrics: Where they are counted.
    """

    def __init__(self, application: ASGIApp, metrics: Metrics) -> None:
        self._application = application
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it when its answer has ended."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        started, status = time.perf_counter(), "500"

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._application(scope, receive, note)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, status).inc()
            seconds = time.perf_counter() - started
            self._metrics.seconds.labels(route).observe(seconds)


async def show_metrics(request: Request) -> Response:
    """Give the counts in the format of Prometheus."""
    metrics: Metrics = request.app.state.metrics
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
