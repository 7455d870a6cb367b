"""A client of chat completion servers: requests, streams of answers, failures in a line."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import Field

from dynfocus.backends.patience import while_wanted
from dynfocus.backends.stream import (
    AnswerText,
    BusyError,
    RefusalError,
    StreamError,
    find_reason,
    read_document,
    read_events,
    shorten,
)
from dynfocus.errors import (
    BackendError,
    BusyBackendError,
    RefusedAnswerError,
    RefusedFrameTimesError,
)
from dynfocus.validation import Positive, checked

API_KEY_VARIABLE = "OPENAI_API_KEY"
"""Environment variable of the key unless another is named."""

_CONNECT_SECONDS = 10.0
_HINTS = {
    **dict.fromkeys((301, 302, 307, 308), "use the address that it redirects to"),
    401: "set the key in the environment variable {variable}",
    403: "set a key that may do this in the environment variable {variable}",
    404: "check the URL and the name of the model",
    413: "send fewer or smaller frames",
    429: "wait a little and ask again",
}


_REFUSED_TIMES = ("trust-request-mm-kwargs", "media_io_kwargs")
"""Either is in what vLLM says when it takes no settings of a video with a request."""


_OF_LOGPROBS = ("logprobs", "top_logprobs")
_BUSY = (429, 503, 529)
"""Too many requests, or too much to do; the second is of some clouds alone."""


@checked
class Server:
    """Where a chat completion server is, and how to speak to it."""

    url: str
    """Its address, with or without ``/v1``; it is brought to the form that has it."""
    api_key: str | None = Field(default=None, repr=False)
    """The key that it wants; by default what the environment variable holds, if set."""
    api_key_variable: str | None = None
    """Environment variable of the key, which must be set if it is named here; by default
    ``OPENAI_API_KEY``."""
    timeout_seconds: Positive = 120.0
    """How long it may be silent before it is given up."""

    def __post_init__(self) -> None:
        variable = self.api_key_variable or API_KEY_VARIABLE
        key = (self.api_key or os.environ.get(variable, "")).strip()
        if self.api_key_variable is not None and not key:
            raise ValueError(
                f"the environment variable {variable} is not set; put the key into it"
            )
        if not (key.isascii() and key.isprintable()):
            raise ValueError(
                f"the value of {variable} cannot be sent in a header; put the bare key "
                "into it"
            )
        object.__setattr__(self, "url", _base_url(self.url))
        object.__setattr__(self, "api_key", key or None)
        object.__setattr__(self, "api_key_variable", variable)

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
    confidence: float | None = None
    """Geometric mean of the probabilities of its tokens, if the server says them."""
    answer_tokens: int | None = None
    """Tokens that the server counted in the answer, if it says so."""


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
        with self._failures(AnswerText()), self._connection() as http:
            response = http.get(f"{self.server.url}/models")
            self._check_status(response)
            entries = read_document(response.text).get("data")
            names = [
                str(entry["id"])
                for entry in (entries if isinstance(entries, list) else [])
                if isinstance(entry, dict) and "id" in entry
            ]
            if not names:
                raise StreamError("gave no list of models; check the URL")
        return names

    def complete(
        self, body: Mapping[str, Any], on_text: Callable[[str], None] | None = None
    ) -> Completion:
        """Send a request and read the answer while it is written.

        Args:
            body: The request; it is made a streaming one. A server that refuses
                ``logprobs`` is asked again without them.
            on_text: Called with each piece of the answer as it comes; the pieces put
                together are the answer's text.

        Returns:
            The answer.

        Raises:
            BackendError: The server is not there, refuses, is silent for too long,
                answers nonsense or nothing, filters the answer or breaks off.
        """
        answer = AnswerText(on_text)
        try:
            self._stream(body, answer, on_text)
        except BackendError as error:
            refused = "refused with HTTP 4" in str(error) and "logprob" in str(error)
            if "logprobs" not in body or not refused:
                raise
            rest = {k: v for k, v in body.items() if k not in _OF_LOGPROBS}
            self._stream(rest, answer, on_text)
        return Completion(
            text=answer.text,
            finish_reason=answer.finish_reason,
            prompt_tokens=answer.prompt_tokens,
            confidence=answer.confidence,
            answer_tokens=answer.answer_tokens,
        )

    def _stream(
        self,
        body: Mapping[str, Any],
        answer: AnswerText,
        on_text: Callable[[str], None] | None,
    ) -> None:
        """Send a request, and take the answer while it is written."""
        content = json.dumps({**body, "stream": True}).encode()
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        url = f"{self.server.url}/chat/completions"
        with (
            while_wanted(on_text) as extensions,
            self._failures(answer),
            self._connection() as http,
            http.stream(
                "POST", url, content=content, headers=headers, extensions=extensions
            ) as response,
        ):
            if response.status_code != httpx.codes.OK:
                response.read()
                self._check_status(response)
            _read(response, answer)
            answer.check()

    def _connection(self) -> httpx.Client:
        key, seconds = self.server.api_key, self.server.timeout_seconds
        return httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(seconds, connect=_CONNECT_SECONDS),
            trust_env=not self.server.is_local,  # proxies are for other machines
            verify=self.server.url.startswith("https:"),  # http has no certificate
        )

    @contextmanager
    def _failures(self, answer: AnswerText) -> Iterator[None]:
        """Turn every failure into one sentence, without the key if a server repeats it."""
        seconds = self.server.timeout_seconds
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise BackendError(
                f"no server answers at {self.server.url} ({shorten(error)}); start it or "
                "correct the URL"
            ) from error
        except (StreamError, httpx.HTTPError) as error:
            what = shorten(error)
            if isinstance(error, httpx.TimeoutException):
                what = f"was silent for {seconds:g} s; give it more time or send less"
            elif isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
                what = answer.broken_off
            elif isinstance(error, httpx.WriteError):
                what = "stopped reading the request; send fewer or smaller frames"
            elif isinstance(error, httpx.HTTPError):
                what = f"could not be asked ({what})"
            if self.server.api_key:
                what = what.replace(self.server.api_key, "[key]")
            text = f"the server at {self.server.url} {what}"
            if isinstance(error, BusyError):
                raise BusyBackendError(text, error.wait_seconds) from error
            kind = (
                RefusedAnswerError if isinstance(error, RefusalError) else BackendError
            )
            raise kind(text) from error

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            return
        try:
            reason = find_reason(json.loads(response.content))
        except ValueError:
            reason = ""
        reason = reason or response.reason_phrase or "no reason given"
        if status < 500 and any(sign in reason for sign in _REFUSED_TIMES):
            raise RefusedFrameTimesError(
                f"the server at {self.server.url} takes no times of frames with a "
                "request; start vLLM with --trust-request-mm-kwargs, or use "
                "--layout sheets"
            )
        hint = _HINTS.get(status, "").format(variable=self.server.api_key_variable)
        what = f"refused with HTTP {status}: {reason.rstrip('.')}"
        what += f"; {hint}" if hint else ""
        if status in _BUSY:
            raise BusyError(what, _wait_seconds(response))
        raise StreamError(what)


def _read(response: httpx.Response, answer: AnswerText) -> None:
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    if kind == "application/json":  # a server that does not stream
        response.read()
        answer.take(response.text)
        answer.is_whole = True
        return
    if kind != "text/event-stream":
        raise StreamError(
            f"answered with {kind or 'something unnamed'}, not with a chat completion; "
            "check the URL"
        )
    for event in read_events(response.iter_bytes()):
        if event == "[DONE]":
            answer.is_whole = True
            return
        answer.take(event)


def _wait_seconds(response: httpx.Response) -> float | None:
    """Read how long a busy server wants to be left alone, if it says so in seconds."""
    told = response.headers.get("retry-after", "")
    return float(told) if told.replace(".", "", 1).isdigit() else None


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
