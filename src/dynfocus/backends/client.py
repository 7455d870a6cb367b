"""A client of chat completion servers: requests, streams of answers, failures in a line."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from dynfocus.backends.events import StreamError, read_events
from dynfocus.errors import BackendError

API_KEY_VARIABLE = "OPENAI_API_KEY"
"""Environment variable of the key unless another is named."""

_CONNECT_SECONDS = 10.0
_SHOWN_CHARACTERS = 300
_HINTS = {
    301: "use the address that it redirects to",
    302: "use the address that it redirects to",
    307: "use the address that it redirects to",
    308: "use the address that it redirects to",
    401: "set the key in the environment variable {variable}",
    403: "set a key that may do this in the environment variable {variable}",
    404: "check the URL and the name of the model",
    413: "send fewer or smaller frames",
    429: "wait a little and ask again",
}


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where a chat completion server is, and how to speak to it."""

    url: str
    """Its base address, such as ``http://localhost:8000/v1``."""
    api_key: str | None = field(default=None, repr=False)
    """The key that it wants, if any."""
    api_key_variable: str = API_KEY_VARIABLE
    """Environment variable that the key is from, for messages."""
    timeout_seconds: float = 120.0
    """How long it may be silent before it is given up."""

    def __post_init__(self) -> None:
        if not self.timeout_seconds > 0:
            raise ValueError(
                f"timeout_seconds must be above 0, got {self.timeout_seconds}"
            )
        object.__setattr__(self, "url", _base_url(self.url))

    @classmethod
    def from_environment(
        cls,
        url: str,
        *,
        api_key_variable: str | None = None,
        timeout_seconds: float = 120.0,
    ) -> Server:
        """Take the key from the environment.

        Args:
            url: Address of the server, with or without ``/v1``.
            api_key_variable: Environment variable that holds the key; ``OPENAI_API_KEY``
                by default, which need not be set.
            timeout_seconds: How long the server may be silent.

        Raises:
            ValueError: The address is none, a variable named is not set, or its value
                cannot be sent.
        """
        variable = api_key_variable or API_KEY_VARIABLE
        key = os.environ.get(variable, "").strip()
        if api_key_variable is not None and not key:
            raise ValueError(
                f"the environment variable {variable} is not set; put the key into it"
            )
        if not (key.isascii() and key.isprintable()):
            raise ValueError(
                f"the value of {variable} cannot be sent in a header; put the bare key "
                "into it"
            )
        return cls(
            url=url,
            api_key=key or None,
            api_key_variable=variable,
            timeout_seconds=timeout_seconds,
        )

    @property
    def host(self) -> str:
        """Name or address of the machine."""
        return httpx.URL(self.url).host

    @property
    def is_local(self) -> bool:
        """Tell whether it runs on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What a server answered."""

    text: str
    """The answer, without white space at the ends."""
    finish_reason: str | None
    """Why it ended, such as ``"stop"`` or ``"length"``."""
    prompt_tokens: int | None
    """Tokens that the server counted in the prompt, if it says so."""


class ChatClient:
    """Ask a server that speaks the chat completions protocol.

    Args:
        server: The server.
    """

    def __init__(self, server: Server) -> None:
        self.server = server

    def list_models(self) -> list[str]:
        """Ask for the names of the models that are served.

        Raises:
            BackendError: The server is not there, refuses or answers nonsense.
        """
        with self._failures(), self._connection() as http:
            response = http.get(f"{self.server.url}/models")
            self._check_status(response)
            document = self._document(response)
        entries = document.get("data")
        names = [
            str(entry["id"])
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict) and "id" in entry
        ]
        if not names:
            raise self._error("gave no list of models; check the URL")
        return names

    def complete(
        self, body: Mapping[str, Any], on_text: Callable[[str], None] | None = None
    ) -> Completion:
        """Send a request and read the answer while it is written.

        Args:
            body: The request; it is made a streaming one.
            on_text: Called with each piece of the answer as it comes; the pieces put
                together are the answer's text.

        Returns:
            The answer.

        Raises:
            BackendError: The server is not there, refuses, is silent for too long,
                answers nonsense or breaks off.
        """
        content = json.dumps({**body, "stream": True}).encode()
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        answer = _Answer(on_text)
        url = f"{self.server.url}/chat/completions"
        with (
            self._failures(answer),
            self._connection() as http,
            http.stream("POST", url, content=content, headers=headers) as response,
        ):
            if response.status_code != httpx.codes.OK:
                response.read()
                self._check_status(response)
            self._read(response, answer)
        return self._finished(answer)

    def _connection(self) -> httpx.Client:
        key = self.server.api_key
        return httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(
                self.server.timeout_seconds, connect=_CONNECT_SECONDS
            ),
            trust_env=not self.server.is_local,  # proxies are for other machines
            verify=self.server.url.startswith("https:"),  # http has no certificate
        )

    def _read(self, response: httpx.Response, answer: _Answer) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0].strip()
        if kind == "application/json":  # a server that does not stream
            response.read()
            self._take(answer, self._document(response))
            answer.is_whole = True
            return
        if kind != "text/event-stream":
            raise self._error(
                f"answered with {kind or 'something unnamed'}, not with a chat "
                "completion; check the URL"
            )
        for event in read_events(response.iter_bytes()):
            if event == "[DONE]":
                answer.is_whole = True
                return
            self._take(answer, self._parse(event))

    def _take(self, answer: _Answer, document: dict[str, Any]) -> None:
        """Add a part of the answer, unless it is an error or nonsense."""
        if document.get("error"):
            raise self._error(f"stopped with an error: {self._reason(document)}")
        try:
            piece = answer.take(document)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            shown = self._clean(json.dumps(document))
            raise self._error(f"answered with no chat completion: {shown}") from error
        answer.add(piece)

    def _finished(self, answer: _Answer) -> Completion:
        if not answer.is_whole and answer.finish_reason is None:
            raise self._broken_off(answer)
        text = answer.text.strip()
        if not text and answer.finish_reason == "length":
            raise self._error(
                "used up all tokens before it said anything; allow a longer answer"
            )
        return Completion(
            text=text,
            finish_reason=answer.finish_reason,
            prompt_tokens=answer.prompt_tokens,
        )

    @contextmanager
    def _failures(self, answer: _Answer | None = None) -> Iterator[None]:
        """Turn every failure of the connection into one sentence."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise BackendError(
                f"no server answers at {self.server.url} ({self._clean(error)}); start "
                "it or correct the URL"
            ) from error
        except httpx.TimeoutException as error:
            raise self._error(
                f"was silent for {self.server.timeout_seconds:g} s; give it more time "
                "or send less"
            ) from error
        except (httpx.RemoteProtocolError, httpx.ReadError) as error:
            raise self._broken_off(answer) from error
        except httpx.WriteError as error:
            raise self._error(
                "stopped reading the request; send fewer or smaller frames"
            ) from error
        except StreamError as error:
            raise self._error(str(error)) from error
        except httpx.HTTPError as error:
            raise self._error(f"could not be asked ({self._clean(error)})") from error

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            return
        try:
            reason = self._reason(json.loads(response.content))
        except ValueError:
            reason = ""
        reason = reason or response.reason_phrase or "no reason given"
        hint = _HINTS.get(status, "").format(variable=self.server.api_key_variable)
        raise self._error(
            f"refused with HTTP {status}: {reason.rstrip('.')}"
            + (f"; {hint}" if hint else "")
        )

    def _document(self, response: httpx.Response) -> dict[str, Any]:
        return self._parse(response.text)

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            document = json.loads(text)
        except ValueError as error:
            raise self._error(f"answered with no JSON: {self._clean(text)}") from error
        if not isinstance(document, dict):
            raise self._error(f"answered with no JSON object: {self._clean(text)}")
        return document

    def _broken_off(self, answer: _Answer | None) -> BackendError:
        if answer is None or not answer.text:
            return self._error("closed the connection without an answer")
        return self._error(
            f"broke the answer off after {len(answer.text)} characters; ask again"
        )

    def _error(self, what: str) -> BackendError:
        return BackendError(f"the server at {self.server.url} {what}")

    def _reason(self, document: Any) -> str:
        """Find what a server says went wrong."""
        for name in ("error", "message", "detail"):
            found = document.get(name) if isinstance(document, dict) else None
            if isinstance(found, dict):
                return self._reason(found) or self._clean(json.dumps(found))
            if found:
                text = found if isinstance(found, str) else json.dumps(found)
                return self._clean(text)
        return ""

    def _clean(self, what: object) -> str:
        """Write words of others in a short line, without the key if they repeat it."""
        text = " ".join(str(what).split())
        if self.server.api_key:
            text = text.replace(self.server.api_key, "[key]")
        if len(text) <= _SHOWN_CHARACTERS:
            return text
        return f"{text[:_SHOWN_CHARACTERS]}..."


class _Answer:
    """Collect an answer from its parts."""

    def __init__(self, on_text: Callable[[str], None] | None) -> None:
        self.text = ""
        self.finish_reason: str | None = None
        self.prompt_tokens: int | None = None
        self.is_whole = False
        self._on_text = on_text
        self._held = ""

    def take(self, document: dict[str, Any]) -> str:
        """Read one chunk of a stream, or a whole completion; give its text."""
        usage = document.get("usage")
        if usage:
            self.prompt_tokens = int(usage["prompt_tokens"])
        choices = document["choices"]
        if not choices:
            return ""  # the chunk of the usage has none
        choice = choices[0]
        part = choice["delta"] if "delta" in choice else choice["message"]
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        piece = part.get("content") or ""
        if not isinstance(piece, str):
            raise TypeError(piece)
        return piece

    def add(self, piece: str) -> None:
        """Hand text on, but no white space at either end of the answer."""
        self.text += piece
        self._held += piece
        if len(self.text) == len(self._held):
            self._held = self._held.lstrip()
            self.text = self._held
        ready = self._held.rstrip()
        if ready and self._on_text is not None:
            self._on_text(ready)
        self._held = self._held[len(ready) :]


def _base_url(url: str) -> str:
    """Check an address and bring it to the form that ends before the method's name."""
    try:
        parsed = httpx.URL(url.strip())
    except (httpx.InvalidURL, TypeError) as error:
        raise ValueError(
            "the URL of the server is not one; write it like http://localhost:8000/v1"
        ) from error
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise ValueError(
            "the URL of the server must hold no user name, password or query; put the "
            "key into an environment variable"
        )
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(
            f"the URL of the server must begin with http:// or https://, got {url!r}"
        )
    path = parsed.path.rstrip("/").removesuffix("/chat/completions")
    return str(parsed.copy_with(path=path or "/v1"))
