"""An answer that comes in pieces: server-sent events, the chunks in them, their text.

Packages that read such events split lines at characters that an answer may hold.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dynfocus.text import mean_probability, mend_text, plural

_LONGEST_LINE = 16 * 2**20
_MOST_SHOWN = 300


class StreamError(ValueError):
    """What a server did wrong: a sentence about it, but for its name."""


class RefusalError(StreamError):
    """The model, or a filter before it, will not answer this."""


class BusyError(StreamError):
    """The server has no time for this now."""

    def __init__(self, what: str, wait_seconds: float | None = None) -> None:
        super().__init__(what)
        self.wait_seconds = wait_seconds


def read_events(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the data of each event as soon as it is whole.

    Lines end with a line feed, with or without a carriage return before it; no other
    character ends one, since an answer may hold any.

    Args:
        chunks: The stream, cut anywhere.

    Yields:
        The lines of data of an event, joined by line feeds.
    """
    data: list[str] = []
    rest = b""
    for chunk in itertools.chain(chunks, (b"\n\n",)):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise StreamError(
                f"sent a line of more than {_LONGEST_LINE} bytes, which is no answer"
            )
        for line in lines:
            try:
                text = line.removesuffix(b"\r").decode()
            except UnicodeDecodeError as error:
                raise StreamError("sent text that is not UTF-8") from error
            name, _, value = text.partition(":")
            if name == "data":
                data.append(value.removeprefix(" "))
            if not text and data:
                yield "\n".join(data)
                data.clear()


class AnswerText:
    """The text of an answer, put together from chunks or from a whole completion.

    Args:
        on_text: Called with each piece as it comes; together they are the text.
    """

    def __init__(self, on_text: Callable[[str], None] | None = None) -> None:
        self.text = ""
        self.finish_reason: str | None = None
        self.prompt_tokens: int | None = None
        self.answer_tokens: int | None = None
        self.is_whole = False
        self._log_probabilities: list[float] = []
        self._refusal = ""
        self._on_text = on_text
        self._held = ""

    @property
    def confidence(self) -> float | None:
        """Geometric mean of the probabilities of the tokens, if the server says them."""
        return mean_probability(self._log_probabilities)

    @property
    def broken_off(self) -> str:
        """What a server did that stops here."""
        if not self.text:
            return "closed the connection without an answer"
        return f"broke the answer off after {plural(len(self.text), 'character')}; ask again"

    def take(self, text: str) -> None:
        """Read one chunk of a stream, or a whole completion, as JSON.

        Raises:
            StreamError: It is neither, or tells of an error.
        """
        document = read_document(text)
        if document.get("error"):
            raise StreamError(f"stopped with an error: {find_reason(document)}")
        try:
            self._take(document)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise StreamError(
                f"answered with no chat completion: {shorten(text)}"
            ) from error

    def _take(self, document: dict[str, Any]) -> None:
        usage = document.get("usage")
        if usage:
            self.prompt_tokens = int(usage["prompt_tokens"])
            self.answer_tokens = usage.get("completion_tokens")
        if not document["choices"]:
            return  # the chunk of the usage has none
        choice = document["choices"][0]
        part = choice["delta"] if "delta" in choice else choice["message"]
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        self._refusal += part.get("refusal") or ""
        piece = part.get("content") or ""
        if not isinstance(piece, str):
            raise TypeError(piece)
        self._log_probabilities += [
            float(token["logprob"])
            for token in (choice.get("logprobs") or {}).get("content") or ()
        ]
        self._add(piece)

    def check(self) -> None:
        """Refuse what is no answer: broken off, empty, filtered, refused by the model.

        Raises:
            StreamError: Saying which.
        """
        if not self.is_whole and self.finish_reason is None:
            raise StreamError(self.broken_off)
        if self._refusal:
            raise RefusalError(f"refused to answer: {self._refusal}")
        if self.finish_reason == "content_filter":
            raise RefusalError(
                f"filtered the answer after {plural(len(self.text), 'character')}; ask another way"
            )
        if self.text.strip():
            return
        if self.finish_reason == "length":
            raise StreamError(
                "used up all tokens before it said anything; allow a longer answer"
            )
        raise StreamError("ended the answer without a word; ask again or another way")

    def _add(self, piece: str) -> None:
        """Hand text on, but no white space at either end and no half of a character."""
        self._held += piece
        if not self.text:
            self._held = self._held.lstrip()
        ready = self._held.rstrip()
        if ready and "\ud800" <= ready[-1] <= "\udbff":  # the other half may follow
            ready = ready[:-1].rstrip()
        self._held = self._held[len(ready) :]
        if ready:
            ready = mend_text(ready)
            self.text += ready
            if self._on_text is not None:
                self._on_text(ready)


def read_document(text: str) -> dict[str, Any]:
    """Read a JSON object; anything else is a `StreamError`."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise StreamError(f"answered with no JSON: {shorten(text)}") from error
    if not isinstance(document, dict):
        raise StreamError(f"answered with no JSON object: {shorten(text)}")
    return document


def find_reason(document: Any) -> str:
    """Find what a server says went wrong."""
    for name in ("error", "message", "detail"):
        found = document.get(name) if isinstance(document, dict) else None
        if isinstance(found, dict):
            return find_reason(found) or shorten(json.dumps(found))
        if found:
            return shorten(found if isinstance(found, str) else json.dumps(found))
    return ""


def shorten(what: object) -> str:
    """Write words of others in a short line."""
    text = " ".join(str(what).split())
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
