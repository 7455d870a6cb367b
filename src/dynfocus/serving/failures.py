"""Failures as clients expect them: a status, and a sentence in the shape of OpenAI's."""

from __future__ import annotations

import errno
import logging
import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from dynfocus.errors import (
    BackendError,
    BrokenWorkerError,
    BusyBackendError,
    BusyServerError,
)
from dynfocus.text import is_full_disk, sentence

_FOLDERS = re.compile(r"(?<![\w:/.])/(?:[^/\s:'\"]+/)+")
_CONTENT = re.compile(r"\bcontent(?=: | does not)")  # as the library calls its files
_OF_REQUESTS = (ValueError, FileNotFoundError, TimeoutError, BrokenWorkerError)
_UPSTREAM = re.compile(r"(?:the|no) server (?:answers )?at \S+")
"""How errors name another server, whose address is nobody's business."""
_UPSTREAM_SECONDS = 5
_NOT_ALLOWED = (errno.EROFS, errno.EACCES, errno.EPERM)
_logger = logging.getLogger(__name__)
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ApiError(Exception):
    """A request that cannot be met.

    Args:
        status: The status of HTTP.
        message: Why, in a sentence, and what to do.
        parameter: The field of the request that is at fault.
        code: A word for programs.
        retry_seconds: When to come back.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        parameter: str | None = None,
        code: str | None = None,
        retry_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.parameter = parameter
        self.code = code
        self.retry_seconds = retry_seconds

    def to_dict(self) -> dict[str, Any]:
        """Give the document that clients know."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {
            "error": {
                "message": str(self),
                "type": _TYPES.get(self.status, kind),
                "param": self.parameter,
                "code": self.code,
            }
        }


def as_api_error(error: BaseException) -> ApiError:
    """Tell what a client is told of any failure; what nobody foresaw says no details."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, BusyServerError):
        wait = error.retry_seconds
        text = f"{error}; come back in {wait} s"
        status, code = (
            (429, "rate_limited") if error.is_of_client else (503, "overloaded")
        )
        return ApiError(status, text, code=code, retry_seconds=wait)
    if isinstance(error, ConnectionAbortedError):  # nobody reads this
        return ApiError(499, sentence(error), code="client_gone")
    if isinstance(error, BusyBackendError):
        wait = max(1, round(error.wait_seconds or _UPSTREAM_SECONDS))
        text = f"the model's server is busy; come back in {wait} s"
        return ApiError(503, text, code="overloaded", retry_seconds=wait)
    if isinstance(error, BackendError):
        told = _UPSTREAM.sub("the model's server", sentence(error))
        return ApiError(502, hide_places(told), code="upstream_failed")
    if is_full_disk(error):
        return ApiError(
            507, "the server has no space left; make room", code="full_disk"
        )
    if isinstance(error, OSError) and error.errno in _NOT_ALLOWED:
        return ApiError(
            507,
            "the server may not write to its library, or read a file; see to its "
            "permissions",
            code="read_only",
        )
    if isinstance(error, ValidationError):  # of a body that is read by hand
        one = error.errors()[0]
        place = ".".join(map(str, one["loc"]))
        return ApiError(400, f"{place}: {one['msg'].lower()}", parameter=place)
    if isinstance(error, _OF_REQUESTS):
        return ApiError(400, hide_places(sentence(error)))
    _logger.error("a request failed", exc_info=error)
    return ApiError(500, "the server failed; its log says why", code="internal")


def hide_places(text: str) -> str:
    """Take the folders of this machine out of a sentence for a client."""
    return _CONTENT.sub("the video", _FOLDERS.sub("", text))


def respond(error: BaseException) -> JSONResponse:
    """Make the answer to a request that failed."""
    told = as_api_error(error)
    headers = {}
    if told.retry_seconds is not None:
        headers["Retry-After"] = str(told.retry_seconds)
    if told.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(told.to_dict(), told.status, headers)


def explain_request(error: RequestValidationError) -> ApiError:
    """Say in one sentence what is wrong with a request."""
    one = error.errors()[0]
    place = ".".join(str(part) for part in one["loc"] if part != "body")
    text = one["msg"][:1].lower() + one["msg"][1:]
    return ApiError(400, f"{place or 'the request'}: {text}", parameter=place or None)


def add_handlers(application: FastAPI) -> None:
    """Answer failures of every kind in one shape."""

    async def failed(_: Request, error: Exception) -> JSONResponse:
        return respond(error)

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return respond(explain_request(error))

    async def unknown(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        told = respond(ApiError(error.status_code, str(error.detail).lower()))
        told.headers.update(error.headers or {})
        return told

    application.add_exception_handler(RequestValidationError, refused)
    application.add_exception_handler(HTTPException, unknown)
    for kind in (ApiError, ValueError, OSError, Exception):
        application.add_exception_handler(kind, failed)
