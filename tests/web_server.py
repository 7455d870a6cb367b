"""A web server of files: with and without parts, redirecting, slow, dying, changing."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

MODIFIED = "Mon, 02 Jan 2023 03:04:05 GMT"
# Of localhost, until 2120, made for these tests and known to nobody but them.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1K6fxQCfsgd0IhNE
5UoQDDOQxJHHV76c5wZpTYDZTtmhRANCAATggYV1lz2MS5E6XIGn/7sM+h1hyBh7
+8beLZa3x85TK6E4JZC5+W6XMzGoII4XVB3JOtFMzzP5kvyo+3DaSRrN
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBcTCCARegAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOCBhXWXPYxLkTpc
gaf/uwz6HWHIGHv7xt4tlrfHzlMroTglkLn5bpczMaggjhdUHck60UzPM/mS/Kj7
cNpJGs2jWDBWMBQGA1UdEQQNMAuCCWxvY2FsaG9zdDAPBgNVHRMBAf8EBTADAQH/
MB0GA1UdDgQWBBS0TIws9w4AoFU7jw5/7l6YbLORVzAOBgNVHQ8BAf8EBAMCAoQw
CgYIKoZIzj0EAwIDSAAwRQIhANLfRfhyHJ+v/wIqigw2FkUWENSaCRfHXX+2ylhF
4HZjAiBW8/E8zXGgs+XkMrOSuhCwV+Mn0UBSMnn5CemVqzfScw==
-----END CERTIFICATE-----
"""


@dataclass
class Page:
    """What the server gives at a path; tests change it as they like."""

    content: bytes = b""
    has_parts: bool = True
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"v1"'})
    redirect: str | None = None
    dies_after: int | None = None
    """Bytes of a response after which the connection is cut."""
    wait_seconds: float = 0.0
    """Before the response."""
    wait_seconds_inside: float = 0.0
    """Before a connection is cut."""
    names_length: bool = True
    ranges: list[tuple[int, int]] = field(default_factory=list)
    """What was asked for: first byte and the one after the last, -1 for the whole."""


class WebServer:
    """Give pages and count requests.

    Args:
        certificate: A file with a certificate and its key, for https.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, Mapping[str, str]]] = []
        self.num_connections = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server.num_connections += 1
                super().setup()

            def do_GET(self) -> None:
                server._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._http.socket = context.wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )
            self.scheme = "https"
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def put(self, name: str, content: bytes | Path, **settings: Any) -> str:
        """Give something at a name; its address."""
        data = content.read_bytes() if isinstance(content, Path) else content
        self.pages[f"/{name}"] = Page(data, **settings)
        return self.address(name)

    def address(self, name: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}/{name}"

    def page(self, name: str) -> Page:
        return self.pages[f"/{name}"]

    def _answer(self, request: Any) -> None:
        path = request.path.partition("?")[0]
        self.requests.append((request.path, dict(request.headers)))
        page = self.pages.get(path, Page(status=404))
        time.sleep(page.wait_seconds)
        if page.redirect is not None:
            self._send(request, 302, {"Location": page.redirect}, b"", page)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        headers = {"Last-Modified": MODIFIED, **page.headers}
        if wanted is None or not page.has_parts or page.status != 200:
            page.ranges.append((0, -1))
            self._send(request, page.status, headers, page.content, page)
            return
        first, stop = int(wanted[1]), int(wanted[2]) + 1
        page.ranges.append((first, stop))
        part = page.content[first:stop]
        place = f"bytes {first}-{first + len(part) - 1}/{len(page.content)}"
        if not part:
            empty = {"Content-Range": f"bytes */{len(page.content)}"}
            self._send(request, 416, empty, b"", page)
            return
        self._send(request, 206, {"Content-Range": place, **headers}, part, page)

    def _send(
        self,
        request: Any,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        page: Page,
    ) -> None:
        request.send_response(status)
        for name, value in headers.items():
            if value:
                request.send_header(name, value)
        if page.names_length:
            request.send_header("Content-Length", str(len(body)))
        else:
            request.send_header("Connection", "close")
        request.end_headers()
        if page.dies_after is None:
            request.wfile.write(body)
        else:
            request.wfile.write(body[: page.dies_after])
            request.wfile.flush()
            time.sleep(page.wait_seconds_inside)
        if page.dies_after is not None or not page.names_length:
            request.close_connection = True
