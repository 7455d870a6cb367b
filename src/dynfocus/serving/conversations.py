"""Requests of chat completions: their fields, and the question that they come down to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dynfocus.models.conversation import Turn
from dynfocus.models.options import AskOptions
from dynfocus.serving.failures import ApiError

_OF_ASKING = ("fps", "start", "end", "max_frames", "max_video_tokens", "method")


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(BaseModel):
    """What a stream tells besides the answer."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """What ``/v1/chat/completions`` takes; fields that change nothing here are let in."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    n: int | None = Field(default=None, ge=1, le=1)
    fps: float | None = None
    max_frames: int | None = None
    max_video_tokens: int | None = None
    method: str | None = None
    start: float | str | None = None
    end: float | str | None = None

    @property
    def options(self) -> AskOptions:
        """The same as options of a question."""
        given = {name: getattr(self, name) for name in _OF_ASKING}
        given["max_new_tokens"] = self.max_completion_tokens or self.max_tokens
        return AskOptions(**{k: v for k, v in given.items() if v is not None})


@dataclass(frozen=True, kw_only=True)
class Medium:
    """A video or a picture that a message shows."""

    address: str
    is_image: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A conversation that comes down to a question about videos."""

    question: str
    history: tuple[Turn, ...]
    media: tuple[Medium, ...]


def read_conversation(messages: list[Message]) -> Asked:
    """Find the question, the turns before it and what they are about.

    Args:
        messages: The conversation; the last one is of the user.

    Raises:
        ApiError: It has no question.
    """
    media: list[Medium] = []
    turns: list[Turn] = []
    question: list[str] = []
    for place, message in enumerate(messages):
        texts, shown = _read_content(message, f"messages.{place}")
        media += shown
        if message.role == "assistant":
            turns.append(Turn("\n".join(question), "\n".join(texts)))
            question = []
        else:
            question += texts
    if messages[-1].role == "assistant":
        raise ApiError(400, "the last message must be the user's", parameter="messages")
    return Asked(question="\n".join(question), history=tuple(turns), media=tuple(media))


def _read_content(message: Message, where: str) -> tuple[list[str], list[Medium]]:
    if message.content is None or isinstance(message.content, str):
        return [message.content] if message.content else [], []
    texts: list[str] = []
    shown: list[Medium] = []
    for number, part in enumerate(message.content):
        kind = part.get("type")
        if kind in ("text", "input_text", "output_text"):
            texts.append(str(part.get("text", "")))
            continue
        medium = _read_medium(part)
        if medium is None:
            raise ApiError(
                400,
                f"a part of type {kind!r} cannot be read; known are text, video_url, "
                "input_video, image_url and file",
                parameter=f"{where}.content.{number}",
            )
        shown.append(medium)
    return texts, shown


def _read_medium(part: dict[str, Any]) -> Medium | None:
    kind = part.get("type")
    if kind not in ("video_url", "image_url", "input_video", "input_image"):
        return None
    value = part.get(kind, part.get("video_url", part.get("image_url")))
    address = value.get("url") if isinstance(value, dict) else value
    if not isinstance(address, str):
        return None
    return Medium(address=address, is_image="image" in kind)
