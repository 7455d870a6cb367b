"""A stand-in for the hub: one repository over HTTP, as far as a download asks for it."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class StandInHub:
    """Serves one repository; every attribute may be changed between requests."""

    def __init__(self) -> None:
        self.name = "owner/model"
        self.other_names: tuple[str, ...] = ()
        """Repositories that hold the same files."""
        self.commit = COMMIT
        self.files: dict[str, bytes] = {}
        self.refusal: str | None = None
        """Why files are refused, in the hub's word."""
        self.fetched: list[str] = []
        """The files whose content was asked for."""
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> StandInHub:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: StandInHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path, hub = urlparse(self.path).path, self.hub
        name = next((n for n in hub.other_names if f"/{n}" in path), hub.name)
        about = f"/api/models/{name}"
        files = f"/{name}/resolve/{hub.commit}/"
        if path in (about, f"{about}/revision/main"):
            siblings = [
                {"rfilename": name, "size": len(body)}
                for name, body in hub.files.items()
            ]
            self._send_document({"id": name, "sha": hub.commit, "siblings": siblings})
        elif path.startswith(f"{about}/tree/"):
            self._send_document([entry(*file) for file in hub.files.items()])
        elif path.startswith(files):
            self._send_file(path.removeprefix(files))
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _send_document(self, document: Any) -> None:
        body = json.dumps(document).encode()
        self._send(200, body, {"Content-Type": "application/json"})

    def _send_file(self, name: str) -> None:
        if self.hub.refusal is not None:
            self._send(403, b"", {"X-Error-Code": self.hub.refusal})
            return
        body = self.hub.files[name]
        if self.command == "GET":
            self.hub.fetched.append(name)
        etag = f'"{entry(name, body)["oid"]}"'
        self._send(200, body, {"ETag": etag, "X-Repo-Commit": self.hub.commit})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def entry(name: str, body: bytes) -> dict[str, Any]:
    oid = hashlib.sha1(f"blob {len(body)}\0".encode() + body).hexdigest()
    return {"type": "file", "path": name, "oid": oid, "size": len(body)}
