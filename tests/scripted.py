"""A generator that says what a test tells it, and keeps the prompts that it was given."""

from __future__ import annotations

from dynfocus.models import AskOptions, VideoModel
from dynfocus.models.conversation import OnText, PreparedTurn
from dynfocus.models.generation import Written


class Scripted:
    marks = ()

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.turns: list[PreparedTurn] = []
        self.limits: list[int] = []

    def generate(
        self, turn: PreparedTurn, options: AskOptions, on_text: OnText | None = None
    ) -> Written:
        self.turns.append(turn)
        self.limits.append(options.max_new_tokens)
        text = self.replies.pop(0)
        if on_text is not None:
            on_text(text)
        return Written(text, 0.5)


def scripted(model: VideoModel, *replies: str) -> tuple[VideoModel, Scripted]:
    """Give a model whose texts are these, and what says them."""
    generator = Scripted(*replies)
    return model.with_generator(generator), generator
