"""The page at ``/``: files of the package, served under a strict content policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

FOLDER = Path(__file__).with_name("page")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""What the page may load: its own files and what this server gives, no inline code."""

_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class _PageFiles(StaticFiles):
    """Serve the files with the policy, by kinds that no system's table changes."""

    def file_response(self, full_path: Any, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(full_path, *args, **kwargs)
        return _guard(response, Path(full_path))


def _guard(response: Response, path: Path) -> Response:
    if path.suffix in _KINDS:
        response.headers["Content-Type"] = _KINDS[path.suffix]
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-cache"
    return response


async def _show_page() -> Response:
    path = FOLDER / "index.html"
    return _guard(FileResponse(path), path)


def add_page(application: FastAPI) -> None:
    """Let an application serve the page at ``/`` and its parts below ``/page``."""
    application.add_api_route("/", _show_page, include_in_schema=False)
    application.mount("/page", _PageFiles(directory=FOLDER), name="page")
