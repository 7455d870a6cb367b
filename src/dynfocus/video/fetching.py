"""The one fetcher of addresses: requests, redirects, parts, failures in a sentence.

It speaks HTTP itself, so that nothing a file says makes FFmpeg open anything.
"""

from __future__ import annotations

import logging
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.request import getproxies

import httpx

from dynfocus.errors import UnreachableVideoError
from dynfocus.video.addresses import show_address
from dynfocus.video.fetch_policy import FetchPolicy, is_public

_REDIRECTS = {301, 302, 303, 307, 308}
_WHOLE, _PART, _NO_SUCH_PART = 200, 206, 416
_NUM_ATTEMPTS = 3
_BROKEN_OFF = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_HINTS = {
    **dict.fromkeys((401, 403), "it may need a log-in, or be no longer valid"),
    **dict.fromkeys((404, 410), "there is no such file; check the address"),
    **dict.fromkeys((429, 500, 502, 503, 504), "try again later"),
}
_SETTLED_SECONDS = 2.0
"""A file changed so shortly before it was asked for may change again in that second."""

_sending = threading.local()
# The log of httpx would show addresses with their secrets, a line a part.
logging.getLogger("httpx").addFilter(lambda _: not getattr(_sending, "is_ours", False))


@dataclass(frozen=True)
class Version:
    """What a server says of the file at an address, by which a change is noticed."""

    num_bytes: int | None
    """Its length; None where the server does not say."""
    etag: str
    """Its entity tag, empty without one."""
    modified: str
    """When it was changed last, empty if that is not said."""

    def name(self, date: str) -> str | None:
        """Give what no other version of the file has; None if nothing promises that.

        Args:
            date: The server's clock when it said so.
        """
        if self.etag and not self.etag.startswith("W/"):
            return f"{self.num_bytes} {self.etag}"
        try:
            age = parsedate_to_datetime(date) - parsedate_to_datetime(self.modified)
        except (TypeError, ValueError):
            return None
        is_settled = age.total_seconds() >= _SETTLED_SECONDS
        return f"{self.num_bytes} {self.modified}" if is_settled else None


@dataclass(frozen=True)
class Reply:
    """What a server began to send."""

    version: Version
    """Of which file."""
    version_name: str | None
    """`Version.name` at the time of the reply."""
    kind: str
    """The kind of content that it names."""
    is_part: bool
    """Whether it is the part that was asked for, not the whole file."""
    chunks: Iterator[bytes]
    """The bytes, as they come."""


class Fetcher:
    """Send requests for one address, within the limits of a policy.

    Safe to use by several threads at once.

    Args:
        address: The address, with all its secrets.
        policy: What is allowed.
    """

    def __init__(self, address: str, policy: FetchPolicy) -> None:
        self.policy = policy
        self.shown = show_address(address)
        self._address = address
        self._target: httpx.URL | None = None  # where redirects led
        self._clients: dict[str, httpx.Client] = {}
        self._spent_seconds = 0.0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections; the next request opens others."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def read_part(self, start: int, stop: int, version: Version) -> bytes:
        """Read some bytes of a file that is known; a connection that breaks is renewed.

        Raises:
            UnreachableVideoError: They cannot be read, or the file changed.
        """
        data = bytearray()
        num_attempts = 0
        while len(data) < stop - start:
            before = len(data)
            try:
                with self.request(start + before, stop) as reply:
                    if reply.version != version or not reply.is_part:
                        raise self.error(
                            "the file changed while it was read; run it again"
                        )
                    for chunk in reply.chunks:
                        data += chunk
            except UnreachableVideoError as error:
                if not isinstance(error.__cause__, _BROKEN_OFF):
                    raise
            num_attempts = 1 if len(data) > before else num_attempts + 1
            if num_attempts == _NUM_ATTEMPTS:
                raise self.error(
                    f"the server broke off {_NUM_ATTEMPTS} times; try again later"
                )
        return bytes(data)

    def receive(self) -> Iterator[bytes]:
        """Yield the file once, as it comes, whatever its length.

        Raises:
            UnreachableVideoError: Nothing comes that may be read.
        """
        with self.request(0, None) as reply:
            yield from reply.chunks

    @contextmanager
    def request(self, start: int, stop: int | None) -> Iterator[Reply]:
        """Ask for a part of the file, or for all of it.

        Args:
            start: Its first byte.
            stop: The byte after its last one; None asks for the whole file.

        Yields:
            What comes, which is the whole file where the server gives no parts.

        Raises:
            UnreachableVideoError: Nothing comes that may be read.
        """
        began = time.monotonic()
        try:
            with self._failures(began), self._follow(_headers(start, stop)) as response:
                yield self._reply(response, start, stop, began)
        finally:
            self._spent_seconds += time.monotonic() - began

    def error(self, what: str) -> UnreachableVideoError:
        """Make the error of this address."""
        return UnreachableVideoError(f"{self.shown}: {what}.")

    def check_size(self, num_bytes: int) -> None:
        """Refuse a file that is too large.

        Raises:
            UnreachableVideoError: It is.
        """
        if num_bytes > self.policy.max_bytes:
            raise self.error(
                f"the file has more than the {self.policy.max_bytes:,} bytes that may be "
                "read; copy it to a local disk"
            )

    @contextmanager
    def _follow(self, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Send a request where redirects lead; from the beginning if they ran out."""
        if self._target is not None:
            with self._send(self._target, headers) as response:
                if response.status_code < 400 or response.status_code == _NO_SUCH_PART:
                    yield response
                    return
            self._target = None
        url = httpx.URL(self._address)
        for _ in range(self.policy.max_redirects + 1):
            with self._send(url, headers) as response:
                place = response.headers.get("location", "")
                if response.status_code not in _REDIRECTS or not place:
                    self._target = url
                    yield response
                    return
                url = url.join(place)
        raise self.error(
            f"it redirects more than {self.policy.max_redirects} times; check the address"
        )

    @contextmanager
    def _send(
        self, url: httpx.URL, headers: dict[str, str]
    ) -> Iterator[httpx.Response]:
        """Send one request, to a machine that may be asked."""
        if url.scheme not in self.policy.schemes:
            raise self.error(
                f"it leads to an address that begins with {url.scheme}:, and allowed are "
                f"{' and '.join(self.policy.schemes)}"
            )
        if not url.host:
            raise httpx.InvalidURL("no host")
        if not self.policy.allows(url.host):
            raise self.error(
                f"it leads to the host {url.host!r}, which is not among those that may "
                "be asked here"
            )
        left = self.policy.total_seconds - self._spent_seconds
        if left <= 0:
            raise self._took_too_long()
        extensions: dict[str, object] = {}
        places = [url]
        if not self.policy.allow_private:
            headers = headers | {"Host": url.netloc.decode("ascii")}
            extensions["sni_hostname"] = url.raw_host.decode("ascii")
            places = [url.copy_with(host=machine) for machine in self._resolve(url)]
        timeout = httpx.Timeout(
            min(self.policy.read_seconds, left),
            connect=min(self.policy.connect_seconds, left),
        )
        if self.policy.allow_private and not getproxies().keys() - {"no"}:
            self._check_name(url)
        client = self._client(url)
        for number, place in enumerate(places, 1):
            request = client.build_request(
                "GET", place, headers=headers, extensions=extensions, timeout=timeout
            )
            _sending.is_ours = True
            try:
                response = client.send(request, stream=True)
                break
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number == len(places):
                    raise
            finally:
                _sending.is_ours = False
        try:
            yield response
        finally:
            response.close()

    def _client(self, url: httpx.URL) -> httpx.Client:
        """Give what holds the connections to a host, by the name that was checked."""
        key = _key(url)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = httpx.Client(
                    trust_env=self.policy.allow_private,
                    # Plain http has no certificate; the context takes time to make.
                    verify=httpx.create_ssl_context()
                    if url.scheme == "https"
                    else False,
                )
            return self._clients[key]

    def _check_name(self, url: httpx.URL) -> None:
        """Look a name up once in time, since httpx waits for that without a limit."""
        if _key(url) not in self._clients:
            _look_up(url, self.policy.connect_seconds)

    def _resolve(self, url: httpx.URL) -> list[str]:
        """Find the machines that a name means, all on the public internet."""
        found = _look_up(url, self.policy.connect_seconds)
        machines = [str(address[0]) for *_, address in found]
        for machine in machines:
            if not is_public(machine):
                raise self.error(
                    "it leads to a machine that is not on the public internet, which is "
                    "not allowed here"
                )
        return list(dict.fromkeys(machines))

    def _reply(
        self, response: httpx.Response, start: int, stop: int | None, began: float
    ) -> Reply:
        """Understand the head of a response."""
        status, headers = response.status_code, response.headers
        if status not in (_WHOLE, _PART):
            if status == _NO_SUCH_PART and headers.get("content-range") == "bytes */0":
                raise self.error("the file is empty; copy it again")
            hint = _HINTS.get(status, "check the address")
            raise self.error(f"the server answers with HTTP {status}; {hint}")
        if headers.get("content-encoding", "identity") != "identity":
            raise self.error(
                f"the server sends it compressed ({headers['content-encoding']}), which "
                "cannot be read by time; copy it to a local disk"
            )
        num_bytes, num_wanted = _number(headers.get("content-length")), None
        if status == _PART:
            place = _RANGE.fullmatch(headers.get("content-range", ""))
            if place is None or stop is None or int(place[1]) != start:
                raise self.error(
                    "the server sends another part than was asked for; copy the file to "
                    "a local disk"
                )
            num_bytes, num_wanted = int(place[3]), stop - start
        self.check_size(num_bytes or 0)
        version = Version(
            num_bytes, headers.get("etag", ""), headers.get("last-modified", "")
        )
        return Reply(
            version=version,
            version_name=version.name(headers.get("date", "")),
            kind=headers.get("content-type", "").partition(";")[0].strip().lower(),
            is_part=status == _PART,
            chunks=self._chunks(response, began, num_wanted),
        )

    def _chunks(
        self, response: httpx.Response, began: float, most: int | None
    ) -> Iterator[bytes]:
        """Yield the bytes as they are on the wire, as long as there is time."""
        end = began + self.policy.total_seconds - self._spent_seconds
        for chunk in response.iter_raw():
            if time.monotonic() > end:
                raise self._took_too_long()
            if most is not None and len(chunk) > most:  # more than was asked for
                yield chunk[:most]
                return
            yield chunk
            if most is not None:
                most -= len(chunk)

    def _took_too_long(self) -> UnreachableVideoError:
        return self.error(
            f"reading takes longer than the {self.policy.total_seconds:g} s that it may; "
            "copy the file to a local disk"
        )

    @contextmanager
    def _failures(self, began: float) -> Iterator[None]:
        """Turn every failure of the connection into a sentence that tells no secrets."""
        policy = self.policy
        try:
            yield
        except httpx.TimeoutException as error:
            if time.monotonic() - began >= policy.total_seconds - self._spent_seconds:
                raise self._took_too_long() from error
            if not isinstance(error, httpx.ConnectTimeout):
                raise self.error(
                    f"the server was silent for {policy.read_seconds:g} s; try again later"
                ) from error
            raise self.error(
                f"no server answers within {policy.connect_seconds:g} s; check the address"
            ) from error
        except httpx.ProxyError as error:
            raise self.error(
                "the proxy of the environment refuses it; check HTTPS_PROXY and NO_PROXY"
            ) from error
        except (httpx.ConnectError, socket.gaierror) as error:
            raise self.error(_why_not_connected(error)) from error
        except _BROKEN_OFF as error:
            raise self.error("the server broke off; try again later") from error
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise self.error(
                "this is no address that can be asked for; check it"
            ) from error


def _key(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _look_up(url: httpx.URL, seconds: float) -> list[Any]:
    """Ask what machines a name means, in a thread, since asking has no time limit."""
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    told: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            told.put(socket.getaddrinfo(url.host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            told.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        found = told.get(timeout=seconds)
    except queue.Empty:
        raise httpx.ConnectTimeout("the name was not found in time") from None
    if isinstance(found, Exception):
        raise found
    return found


def _headers(start: int, stop: int | None) -> dict[str, str]:
    headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "dynfocus"}
    return headers if stop is None else headers | {"Range": f"bytes={start}-{stop - 1}"}


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _why_not_connected(error: BaseException) -> str:
    """Say what stands behind a connection that was not made."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    for one in causes:
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({one.verify_message}); check the address"
        if isinstance(one, ssl.SSLError):
            return "no secure connection can be made; check the address"
        if isinstance(one, socket.gaierror):
            return "no machine has this name, or there is no network; check the address"
    return "no server answers there; check the address"
