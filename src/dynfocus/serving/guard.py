"""What every request passes before the application sees it.

The name it calls the server by, the page it comes from, its key and its length are
checked here, and every answer gets the headers that keep browsers from doing more with
it. One place, so that no route can forget it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dynfocus.serving.failures import ApiError, as_api_error

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from dynfocus.serving.protection import Protection

_OPEN_PATHS = ("/healthz", "/readyz")
_HARMLESS = ("GET", "HEAD", "OPTIONS")
_API_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
_HEADERS = {
    b"content-security-policy": _API_POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"x-frame-options": b"DENY",
    b"permissions-policy": b"camera=(), microphone=(), geolocation=()",
    b"cache-control": b"no-store",
}
"""Set where an answer does not set them itself."""


class Guard:
    """Let in what may come in, and nothing longer or slower than allowed.

    Args:
        application: What is guarded.
        protection: The keys and limits.
        host: The interface that the server listens on.
    """

    def __init__(self, application: ASGIApp, protection: Protection, host: str) -> None:
        self._application = application
        self._protection = protection
        self._hosts = protection.known_hosts(host)
        # Digests have one length, so comparing them tells nothing of the keys.
        self._digests = [sha256(key.encode()).digest() for key in protection.api_keys]
        self._num_requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there is no other protocol here: the connection is refused
        self._num_requests += 1
        body = _Body(scope, receive, self._protection)
        sender = _Sender(send, body, wants_page=_wants_page(scope))
        try:
            self._check(scope)
            body.check_declared()
            await self._application(scope, body.receive, sender.send)
        except Exception as error:
            if sender.has_begun:  # too late for a status: the connection is cut
                raise
            await sender.refuse(body.failure or as_api_error(error))
        finally:
            self._num_requests -= 1

    def _check(self, scope: Scope) -> None:
        headers = _Headers(scope["headers"])
        self._check_name(headers)
        self._check_origin(headers, scope["method"])
        if scope["path"] in _OPEN_PATHS:
            return
        if self._num_requests > self._protection.max_requests:
            raise ApiError(
                503, "too many requests are in hand", code="overloaded", retry_seconds=2
            )
        self._check_key(headers)

    def _check_name(self, headers: _Headers) -> None:
        """Refuse names of others that were made to lead here, as rebinding does."""
        names = headers.all(b"host")
        if len(names) != 1 or _host_of(names[0]) not in self._hosts:
            raise ApiError(
                421,
                "this server does not go by that name; name it with --host-name where "
                "it is started",
                code="unknown_host",
            )

    def _check_origin(self, headers: _Headers, method: str) -> None:
        """Refuse pages of others, which a browser lets send without asking first."""
        origin = headers.one(b"origin")
        if origin is not None:
            is_own = urlsplit(origin).netloc.lower() == headers.one(b"host", "").lower()
        else:
            site = headers.one(b"sec-fetch-site", "same-origin")
            is_own = site in ("same-origin", "none") or method in _HARMLESS
        if not is_own:
            raise ApiError(
                403, "pages of other sites are not answered", code="other_origin"
            )

    def _check_key(self, headers: _Headers) -> None:
        if not self._digests:
            return
        digest = sha256(_given_key(headers.one(b"authorization", ""))).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(matches):
            raise ApiError(
                401,
                "a key is needed: Authorization: Bearer KEY, or KEY as the password",
                code="invalid_api_key",
            )


class _Headers:
    """The headers of a request, by their names in small letters."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._pairs = [(name.lower(), value) for name, value in pairs]

    def all(self, name: bytes) -> list[str]:
        """Give every value of a header."""
        return [value.decode("latin-1") for key, value in self._pairs if key == name]

    def one(self, name: bytes, default: Any = None) -> Any:
        """Give the value of a header, the first of several."""
        values = self.all(name)
        return values[0] if values else default


class _Sender:
    """Send an answer with the headers that every answer has."""

    def __init__(self, send: Send, body: _Body, *, wants_page: bool) -> None:
        self._send = send
        self._body = body
        self._wants_page = wants_page
        self._is_refused = False
        self.has_begun = False

    async def send(self, message: Message) -> None:
        """Send a part; of a request that was cut off, why, whatever is made of it."""
        if self._is_refused:
            return
        if message["type"] == "http.response.start":
            if self._body.failure is not None:
                await self.refuse(self._body.failure)
                return
            self.has_begun = True
            headers = list(message.get("headers", ()))
            known = {name.lower() for name, _ in headers}
            headers += [pair for pair in _HEADERS.items() if pair[0] not in known]
            message = {**message, "headers": headers}
        await self._send(message)

    async def refuse(self, error: ApiError) -> None:
        """Answer with an error; the rest of the request is not read."""
        body = json.dumps(error.to_dict()).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if error.retry_seconds is not None:
            headers.append((b"retry-after", str(error.retry_seconds).encode()))
        if error.status == 401:
            # A browser asks for a password, and sends it with pictures and events too.
            kind = b'Basic realm="dynfocus"' if self._wants_page else b"Bearer"
            headers.append((b"www-authenticate", kind))
        self.has_begun = self._is_refused = True
        headers += _HEADERS.items()
        start = {"status": error.status, "headers": headers}
        await self._send({"type": "http.response.start", **start})
        await self._send({"type": "http.response.body", "body": body})


class _Body:
    """The body of a request, as far and as slow as it may come."""

    def __init__(self, scope: Scope, receive: Receive, protection: Protection) -> None:
        headers = _Headers(scope["headers"])
        kind = headers.one(b"content-type", "").partition(";")[0].strip().lower()
        is_upload = kind in ("multipart/form-data", "application/octet-stream")
        self._most = (
            protection.max_upload_bytes if is_upload else protection.max_body_bytes
        )
        self._seconds = protection.body_seconds
        self._receive = receive
        self._num_bytes = 0
        self._is_whole = False
        self._declared = headers.one(b"content-length", "0")
        self.failure: ApiError | None = None

    def check_declared(self) -> None:
        """Refuse a body that says itself that it is too long.

        Raises:
            ApiError: It does.
        """
        if self._declared.isdecimal() and int(self._declared[:20]) > self._most:
            raise self._too_long()

    async def receive(self) -> Message:
        """Receive a part."""
        if self._is_whole:  # what comes now is that the client goes
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._seconds)
        except TimeoutError:
            self.failure = ApiError(
                408,
                f"nothing came for {self._seconds:g} s; send the request again",
                code="too_slow",
            )
            raise self.failure from None
        self._num_bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._num_bytes > self._most:
            self.failure = self._too_long()
            raise self.failure
        return message

    def _too_long(self) -> ApiError:
        return ApiError(
            413,
            f"the request has more than the {self._most:,} bytes that are allowed",
            code="too_long",
        )


def _given_key(authorization: str) -> bytes:
    """Take the key out of a header: a bearer's, or a password."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        return value.strip().encode("latin-1")
    if kind.lower() == "basic":
        try:
            pair = base64.b64decode(value.strip(), validate=True)
        except (binascii.Error, ValueError):
            return b""
        return pair.partition(b":")[2]
    return b""


def _host_of(host: str) -> str:
    """Take the port off a name."""
    name = host.lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if ":" in name else name


def _wants_page(scope: Scope) -> bool:
    accepted = _Headers(scope["headers"]).one(b"accept", "")
    return scope["method"] == "GET" and "text/html" in accepted
