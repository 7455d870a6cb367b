"""A chat completion server in a thread: it checks requests and plays what a test says."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class RefusedRequestError(Exception):
    """A request that a server refuses, with the status and the reason."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


@dataclass
class StandInServer:
    """Play a server; every attribute may be changed between requests."""

    check: Callable[[dict[str, Any]], None] = lambda body: None
    """Raises `RefusedRequestError` for a body that is wrong."""
    answer: Callable[[dict[str, Any]], Iterator[str]] = lambda body: iter(
        ("an ", "answer")
    )
    """Yields the pieces of the answer."""
    models: tuple[str, ...] = ("served",)
    prompt_tokens: int | None = None
    log_probability: float | None = None
    """Sent with each piece that is not empty, where the request asks for it."""
    raw: bytes | None = None
    """Sent in place of a stream."""
    content_type: str = "text/event-stream"
    status: int = 200
    finish_reason: str | None = "stop"
    ends_with_done: bool = True
    silent_seconds: float = 0.0
    key: str | None = None
    """The key without which requests are refused."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def __enter__(self) -> StandInServer:
        handler = type("Handler", (_Handler,), {"stand_in": self})
        self._http = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *details: object) -> None:
        """Say nothing about clients that went away, but about all else."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*details)


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandInServer

    def log_message(self, *details: object) -> None:
        pass

    def do_GET(self) -> None:
        self._note()
        if self.path != "/v1/models":
            self._send(404, b'{"error": {"message": "Not Found"}}')
        elif not self._refused():
            names = [{"id": name, "object": "model"} for name in self.stand_in.models]
            self._send(200, json.dumps({"object": "list", "data": names}).encode())

    def do_POST(self) -> None:
        self._note()
        length = int(self.headers["Content-Length"])
        content = self.rfile.read(length)
        stand_in = self.stand_in
        if self.path != "/v1/chat/completions":
            self._send(404, b'{"error": {"message": "Not Found"}}')
            return
        time.sleep(stand_in.silent_seconds)
        if self._refused():
            return
        if stand_in.raw is not None:
            self._send(stand_in.status, stand_in.raw, stand_in.content_type)
            return
        body = json.loads(content)
        stand_in.bodies.append(body)
        try:
            stand_in.check(body)
        except RefusedRequestError as refusal:
            error = {"message": str(refusal), "type": "BadRequestError"}
            self._send(refusal.status, json.dumps({"error": error}).encode())
            return
        self._stream(body)

    def _note(self) -> None:
        self.stand_in.paths.append(self.path)
        self.stand_in.headers.append({k.lower(): v for k, v in self.headers.items()})

    def _refused(self) -> bool:
        key = self.stand_in.key
        given = self.headers.get("Authorization", "")
        if key is None or given == f"Bearer {key}":
            return False
        reason = f"Incorrect API key provided: {given.removeprefix('Bearer ')}."
        self._send(401, json.dumps({"error": {"message": reason}}).encode())
        return True

    def _send(
        self, status: int, content: bytes, kind: str = "application/json"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, body: dict[str, Any]) -> None:
        stand_in = self.stand_in
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.end_headers()
        self._event(_choice({"role": "assistant", "content": ""}))
        for piece in stand_in.answer(body):
            event = _choice({"content": piece})
            if body.get("logprobs") and stand_in.log_probability is not None:
                told = [{"token": piece, "logprob": stand_in.log_probability}]
                event["choices"][0]["logprobs"] = {"content": told}
            self._event(event)
        if stand_in.finish_reason is not None:
            self._event(_choice({}, stand_in.finish_reason))
        if body.get("stream_options", {}).get("include_usage"):
            usage = {"prompt_tokens": stand_in.prompt_tokens, "completion_tokens": 1}
            if stand_in.prompt_tokens is not None:
                self._event({"choices": [], "usage": usage})
        if stand_in.ends_with_done:
            self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, document: dict[str, Any]) -> None:
        text = json.dumps(document, ensure_ascii=False)
        self.wfile.write(f"data: {text}\n\n".encode())


def _choice(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"object": "chat.completion.chunk", "choices": [choice]}
