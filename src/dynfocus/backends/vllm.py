"""Answers through a vLLM server that runs the language model of a checkpoint of ours.

Videos are read, encoded and focused here. What stands in the place of the video goes to
the server as prompt embeddings; the words around it go as text, and the server's chat
template (see `export_language_model`) puts both together.

Letters: S tokens of the block, H width of the language model.
"""

from __future__ import annotations

import base64
import io
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from dynfocus.backends.client import ChatClient
from dynfocus.conversion.exporting import EMBEDS_MARK, serving_messages
from dynfocus.errors import OtherPromptWarning
from dynfocus.focus import VideoFeatures
from dynfocus.models.answering import FocusedModel
from dynfocus.models.answers import Answer
from dynfocus.models.chat import Turn
from dynfocus.models.turns import PreparedTurn

_NEVER = -100
"""Added to the logit of a token that must not be said."""


class VllmAnswerer:
    """Answer questions with our video tokens and the language model of a server.

    Example:
        >>> focused = dynfocus.load("my-model")
        >>> client = ChatClient(Server(url="http://localhost:8000"))
        >>> session = focused.chat("clip.mp4", answerer=VllmAnswerer(focused, client))
        >>> session.ask("Who comes in?").text

    Args:
        focused: The model whose language model the server runs.
        client: The server.
        served_model: Its name there; by default the only one that is served.
    """

    def __init__(
        self,
        focused: FocusedModel,
        client: ChatClient,
        *,
        served_model: str | None = None,
    ) -> None:
        self.focused = focused
        self.client = client
        self.served_model = served_model or find_served_model(client)

    def answer_turn(
        self,
        features: VideoFeatures,
        question: str,
        *,
        history: Sequence[Turn] = (),
        max_video_tokens: int | None = None,
        max_new_tokens: int = 64,
        on_text: Callable[[str], None] | None = None,
        started: float | None = None,
    ) -> Answer:
        """Answer a question about an encoded video, after earlier turns.

        The arguments are those of `FocusedModel.answer_turn`.

        Raises:
            BackendError: The server is not there, refuses or answers nonsense.
        """
        started = time.perf_counter() if started is None else started
        _check_words(question, history)
        turn = self.focused.prepare_turn(
            features,
            question,
            history=history,
            max_video_tokens=max_video_tokens,
            max_new_tokens=max_new_tokens,
        )
        body = self.request(turn, history, max_new_tokens)
        completion = self.client.complete(body, on_text)
        if completion.prompt_tokens not in (None, len(turn.input_ids)):
            warnings.warn(
                f"the server read {completion.prompt_tokens} tokens where the prompt "
                f"has {len(turn.input_ids)}, so it serves another chat template or "
                "tokenizer; serve what dynfocus export-language-model wrote",
                OtherPromptWarning,
                stacklevel=2,
            )
        return turn.answer(completion.text, started)

    def request(
        self, turn: PreparedTurn, history: Sequence[Turn], max_new_tokens: int
    ) -> dict[str, Any]:
        """Write the request of a turn.

        Args:
            turn: The turn.
            history: Earlier turns, as text.
            max_new_tokens: At most so many tokens in the answer.

        Returns:
            The body for ``/v1/chat/completions``: greedy, and the placeholder of the
            video is never said, as in `FocusedModel.answer_turn`.
        """
        token = self.focused.processor.video_token_id
        part = {"type": "prompt_embeds", "data": encode_embeds(turn.block(token))}
        return {
            "model": self.served_model,
            "messages": serving_messages(history, turn.question, part),
            "max_tokens": max_new_tokens,
            "temperature": 0.0,
            "logit_bias": {str(token): _NEVER},
            "stream_options": {"include_usage": True},
        }


def encode_embeds(embeds: Tensor) -> str:
    """Write embeddings as a vLLM server reads them.

    Args:
        embeds: Shape ``[S, H]``, floating point. They keep their precision; the server
            casts them to its own. A token of width 4096 takes 11 kB in 16 bits.

    Returns:
        The saved tensor in base64.
    """
    buffer = io.BytesIO()
    # A view would be saved with all the memory that it looks into.
    torch.save(embeds.detach().cpu().clone(), buffer)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def find_served_model(client: ChatClient) -> str:
    """Give the name of the only model that a server serves.

    Raises:
        BackendError: The server is not there, refuses or answers nonsense.
        ValueError: It serves several.
    """
    names = client.list_models()
    if len(names) > 1:
        raise ValueError(
            f"the server at {client.server.url} serves {len(names)} models "
            f"({', '.join(names)}); say which with --served-model"
        )
    return names[0]


def _check_words(question: str, history: Sequence[Turn]) -> None:
    """Refuse words that a server takes for embeddings."""
    words = [
        question,
        *(text for turn in history for text in (turn.question, turn.answer)),
    ]
    if any(EMBEDS_MARK in text for text in words):
        raise ValueError(
            f"the conversation must not contain {EMBEDS_MARK}, which holds the place of "
            f"embeddings on a server; leave it out, got {question!r}"
        )
