"""Several questions about one video, each knowing those before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dynfocus.models.answers import Answer
from dynfocus.models.dynfocus.prompts import IMAGE_MARK, VIDEO_TOKEN


class TurnAnswerer(Protocol):
    """What answers a question about an encoded video, after earlier turns."""

    def answer_turn(
        self,
        features: Any,
        question: str,
        *,
        history: Sequence[Turn] = (),
        max_video_tokens: int | None = None,
        max_new_tokens: int = 64,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """Answer; see `FocusedModel.answer_turn`."""


@dataclass(frozen=True)
class Turn:
    """One exchange of a conversation."""

    question: str
    answer: str


class ChatSession:
    """Ask several questions about one video, each knowing those before.

    Every prompt holds one block of video tokens, made for the newest question, before
    the first turn, where training has it; the earlier turns follow as text. A long
    conversation does not pay for the video again and again.

    Args:
        answerer: The model, or what runs its language model elsewhere.
        features: The video, encoded.
        max_video_tokens: At most so many video tokens a question.
    """

    def __init__(
        self,
        answerer: TurnAnswerer,
        features: Any,
        max_video_tokens: int | None = None,
    ) -> None:
        self._answerer = answerer
        self._features = features
        self._max_video_tokens = max_video_tokens
        self.turns: list[Turn] = []

    def ask(
        self,
        question: str,
        *,
        max_new_tokens: int = 64,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """Ask the next question.

        Args:
            question: The question.
            max_new_tokens: At most so many tokens in the answer.
            on_text: Called with each finished piece of the answer.

        Returns:
            The answer, its cost and what became of each frame.
        """
        answer = self._answerer.answer_turn(
            self._features,
            question,
            history=self.turns,
            max_video_tokens=self._max_video_tokens,
            max_new_tokens=max_new_tokens,
            on_text=on_text,
        )
        self.turns.append(Turn(question, answer.text))
        return answer


def build_conversation(history: Sequence[Turn], question: str) -> list[dict[str, Any]]:
    """Write a conversation for the chat template.

    Args:
        history: Earlier turns.
        question: The question to answer.

    Returns:
        The messages; the video stands at the front of the first.
    """
    messages: list[dict[str, Any]] = []
    for turn in history:
        messages.append({"role": "user", "content": _text_part(turn.question)})
        messages.append({"role": "assistant", "content": _text_part(turn.answer)})
    messages.append({"role": "user", "content": _text_part(question)})
    messages[0]["content"] = [{"type": "video"}, *messages[0]["content"]]
    return messages


def _text_part(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def check_question(question: str) -> None:
    """Refuse a question that is empty or would be taken for a video."""
    if not question.strip():
        raise ValueError("the question is empty; write what to look for in the video")
    for mark in (VIDEO_TOKEN, IMAGE_MARK):
        if mark in question:
            raise ValueError(
                f"the question must not contain {mark}, which holds the place of a "
                f"video; leave it out, got {question!r}"
            )


def check_count(name: str, value: int) -> None:
    """Refuse a count below one."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
