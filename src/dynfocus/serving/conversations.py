"""Messages of a conversation, and the question about videos that they come down to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dynfocus.models.conversation import Turn
from dynfocus.models.options import AskOptions
from dynfocus.serving.failures import ApiError

_OF_ASKING = ("fps", "start", "end", "max_frames", "max_video_tokens", "method")
_TEXTS = ("text", "input_text", "output_text")
_IMAGES = ("image_url", "input_image")
_VIDEOS = ("video_url", "input_video", "video", "file", "input_file")
_MOST_FRAMES = 10_000
_MOST_STOPS = 16
_GREEDY = ("temperature", "top_p", "presence_penalty", "frequency_penalty")


class AskFields(BaseModel):
    """Options of a question that a request may give, as ``extra_body`` of a client."""

    model_config = ConfigDict(extra="allow")

    fps: float | None = None
    """Frames sampled a second."""
    max_frames: int | None = None
    """At most so many frames, taken evenly."""
    max_video_tokens: int | None = None
    """At most so many video tokens."""
    method: str | None = None
    """What chooses the tokens: one of the model's methods."""
    scorer: str | None = None
    """What compares frames with the question: that of the server, or ``"none"``."""
    start: float | str | None = None
    """Where the excerpt that is asked about begins: seconds, ``m:ss`` or ``h:mm:ss``."""
    end: float | str | None = None
    """Where it ends."""

    def ask_options(
        self, max_new_tokens: int | None = None, stop: Sequence[str] = ()
    ) -> AskOptions:
        """Give the same as options of a question.

        Raises:
            ValueError: One of them is wrong.
        """
        given = {name: getattr(self, name) for name in _OF_ASKING}
        given["max_new_tokens"] = max_new_tokens
        chosen = {name: value for name, value in given.items() if value is not None}
        if (self.max_frames or 0) > _MOST_FRAMES:
            raise ApiError(
                400,
                f"max_frames must be at most {_MOST_FRAMES:,} here, got "
                f"{str(self.max_frames)[:40]}",
                parameter="max_frames",
            )
        if len(stop) > _MOST_STOPS:
            raise ApiError(
                400, f"stop may have {_MOST_STOPS} texts at most", parameter="stop"
            )
        return AskOptions(**chosen, stop=tuple(stop))


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(BaseModel):
    """What a stream tells besides the answer."""

    model_config = ConfigDict(extra="allow")

    include_usage: bool = False


class ChatRequest(AskFields):
    """What ``/v1/chat/completions`` takes."""

    model: str = Field(min_length=1)
    messages: list[Message] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    """Any gives the same answer: the likeliest token is taken each time."""
    n: int | None = None
    logprobs: bool | None = None
    tools: list[Any] | None = None
    response_format: dict[str, Any] | None = None

    @property
    def stops(self) -> list[str]:
        """The texts before which the answer ends."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    def check(self) -> None:
        """Refuse what would change the answer and cannot be followed.

        Raises:
            ApiError: There is such a field.
        """
        kind = (self.response_format or {}).get("type", "text")
        wrong = {
            "n": (self.n or 1) != 1,
            "logprobs": bool(self.logprobs),
            "tools": bool(self.tools),
            "response_format": kind != "text",
        }
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise ApiError(
                    400,
                    f"{name} cannot be followed: there is one answer, in plain text; "
                    "leave it out",
                    parameter=name,
                )

    @property
    def notes(self) -> list[str]:
        """Say which fields change nothing."""
        return greedy_notes(self)


def greedy_notes(asked: BaseModel) -> list[str]:
    """Say which fields of a request change nothing, since answers are greedy."""
    given = asked.model_extra or {}
    named = [name for name in _GREEDY if given.get(name) not in (None, 0, 1)]
    if not named:
        return []
    return [f"{', '.join(named)}: not used, the likeliest token is taken each time"]


@dataclass(frozen=True, kw_only=True)
class Medium:
    """A video or a picture that a message shows."""

    address: str | None = None
    """Its address, of http, https, data or file."""
    file_id: str | None = None
    """The file that was uploaded, in place of an address."""
    name: str = ""
    """What people call it."""
    is_image: bool = False
    """Whether it is one picture."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A conversation that comes down to a question about videos."""

    question: str
    """The question; what the system said stands before the first one."""
    history: tuple[Turn, ...]
    """The turns before it."""
    media: tuple[Medium, ...]
    """What it is about."""


def read_conversation(messages: Sequence[Message]) -> Asked:
    """Find the question, the turns before it and what they are about.

    Args:
        messages: The conversation; the last one is not the assistant's.

    Raises:
        ApiError: It has no question, or a part that cannot be read.
    """
    media: list[Medium] = []
    turns: list[Turn] = []
    question: list[str] = []
    for place, message in enumerate(messages):
        texts, shown = _read_content(message, f"messages.{place}.content")
        media += shown
        if message.role != "assistant":
            question += texts
        elif question:
            turns.append(Turn("\n".join(question), "\n".join(texts)))
            question = []
    if not question:
        raise ApiError(
            400,
            "the last message must be a question of the user",
            parameter="messages",
        )
    return Asked(question="\n".join(question), history=tuple(turns), media=tuple(media))


def _read_content(message: Message, where: str) -> tuple[list[str], list[Medium]]:
    if message.content is None or isinstance(message.content, str):
        return [message.content] if message.content else [], []
    texts: list[str] = []
    shown: list[Medium] = []
    for number, part in enumerate(message.content):
        if part.get("type") in _TEXTS:
            texts.append(str(part.get("text", "")))
        else:
            shown.append(_read_medium(part, f"{where}.{number}"))
    return texts, shown


def _read_medium(part: dict[str, Any], where: str) -> Medium:
    """Read a part of a message: its type, and an address or a file under any usual name."""
    kind = part.get("type")
    if kind not in (*_IMAGES, *_VIDEOS):
        raise ApiError(
            400,
            f"a part of type {str(kind)[:40]!r} cannot be read; known are text, "
            f"{', '.join((*_VIDEOS, *_IMAGES))}",
            parameter=where,
        )
    inner = part.get(kind)
    fields = {**part, **(inner if isinstance(inner, dict) else {kind: inner})}
    is_image = kind in _IMAGES
    name = str(fields.get("filename") or "")
    file_id = fields.get("file_id")
    if isinstance(file_id, str) and file_id:
        return Medium(file_id=file_id, is_image=is_image)
    for key in ("url", kind, "video_url", "image_url", "file_url", "file_data", "data"):
        value = fields.get(key)
        if isinstance(value, dict):
            value = value.get("url")
        if isinstance(value, str) and value:
            return Medium(address=_as_address(value), name=name, is_image=is_image)
    raise ApiError(
        400,
        f"the part of type {kind} names no video: give url, file_id or data",
        parameter=where,
    )


def _as_address(value: str) -> str:
    """Take bare base64, as ``data`` and ``file_data`` may be, for the content itself."""
    if ":" in value[:64]:
        return value
    return f"data:;base64,{value}"
