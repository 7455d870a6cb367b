"""Conversations with a server's model that sees: earlier turns go to it as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dynfocus.models.conversation import Answer, OnText, Turn

if TYPE_CHECKING:
    from dynfocus.backends.frame_answers import FrameAnswerer


class FrameChat:
    """Ask several questions about videos, each knowing those before.

    Args:
        answerer: What answers.
        video: The video, or several.
        options: Fields of `AskOptions`, and ``progress``.
    """

    def __init__(
        self, answerer: FrameAnswerer, video: Any, options: dict[str, Any]
    ) -> None:
        self._answerer = answerer
        self._video = video
        self._options = options
        self.turns: list[Turn] = []

    def ask(
        self, question: str, *, on_text: OnText | None = None, **options: Any
    ) -> Answer:
        """Ask the next question."""
        answer = self._answerer.ask(
            self._video,
            question,
            history=tuple(self.turns),
            on_text=on_text,
            **{**self._options, **options},
        )
        self.turns.append(Turn(question, answer.text))
        return answer


def with_turns(
    content: list[dict[str, Any]], history: Sequence[Turn]
) -> list[dict[str, Any]]:
    """Put earlier turns between the frames and the question.

    Args:
        content: The parts of a message, the question last.
        history: The turns; there is one at least.

    Returns:
        The messages.
    """
    *frames, question = content
    first, *rest = history
    said = [{"type": "text", "text": first.question}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": [*frames, *said]}]
    messages.append({"role": "assistant", "content": first.answer})
    for turn in rest:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.answer})
    return [*messages, {"role": "user", "content": [question]}]
