"""Answers from a vLLM server that runs the language model of a checkpoint of ours.

Videos are read, encoded and focused here. What stands in the place of the video goes to
the server as prompt embeddings; the words around it go as text, and the server's chat
template (see `export_language_model`) puts both together.

Letters: S tokens of the block, H width of the language model.
"""

from __future__ import annotations

import base64
import io
import warnings
from typing import Any

import torch
from torch import Tensor

from dynfocus.backends.client import ChatClient
from dynfocus.conversion.exporting import EMBEDS_MARK, serving_messages
from dynfocus.errors import OtherPromptWarning
from dynfocus.models.conversation import OnText, PreparedTurn
from dynfocus.models.generation import Written
from dynfocus.models.options import AskOptions
from dynfocus.models.video_model import VideoModel
from dynfocus.text import plural

_NEVER = -100
"""Added to the logit of a token that must not be said."""


class VllmGenerator:
    """Let a server run the language model on our video tokens.

    Example:
        >>> model = dynfocus.load("my-model")
        >>> client = ChatClient(Server(url="http://localhost:8000"))
        >>> served = model.with_generator(VllmGenerator(model, client))
        >>> served.ask("clip.mp4", "Who comes in?").text

    Args:
        model: The model whose language model the server runs.
        client: The server.
        served_model: Its name there; by default the only one that is served.

    Raises:
        ValueError: The model has no language model that a server could run.
    """

    marks = (EMBEDS_MARK,)

    def __init__(
        self, model: VideoModel, client: ChatClient, *, served_model: str | None = None
    ) -> None:
        model.require("prompt_embeds")
        self.client = client
        self.served_model = served_model or find_served_model(client)

    def generate(
        self, turn: PreparedTurn, options: AskOptions, on_text: OnText | None = None
    ) -> Written:
        """Answer a prompt; see `Generator.generate`.

        Raises:
            BackendError: The server is not there, refuses or answers nonsense.
        """
        body = self.request(turn, options.max_new_tokens)
        if options.stop:
            body["stop"] = list(options.stop)
        completion = self.client.complete(body, on_text)
        num_tokens = turn.input_ids.shape[1]
        if completion.prompt_tokens not in (None, num_tokens):
            warnings.warn(
                f"the server read {plural(completion.prompt_tokens or 0, 'token')} where the prompt "
                f"has {num_tokens}, so it serves another chat template or tokenizer; "
                "serve what dynfocus export-language-model wrote",
                OtherPromptWarning,
                stacklevel=2,
            )
        return Written(
            turn.letters.get(completion.text, completion.text),
            completion.confidence,
            "length" if completion.finish_reason == "length" else "stop",
            completion.prompt_tokens,
            completion.answer_tokens,
        )

    def request(self, turn: PreparedTurn, max_new_tokens: int) -> dict[str, Any]:
        """Write the request of a turn.

        Args:
            turn: The turn.
            max_new_tokens: At most so many tokens in the answer.

        Returns:
            The body for ``/v1/chat/completions``: greedy, and the placeholder of the
            video is never said, as by transformers here.
        """
        part = {"type": "prompt_embeds", "data": encode_embeds(turn.block)}
        return {
            "model": self.served_model,
            "messages": serving_messages(turn.history, turn.question, part),
            "max_tokens": max_new_tokens,
            "temperature": 0.0,
            "logprobs": True,
            "logit_bias": {str(turn.placeholder): _NEVER},
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
            f"the server at {client.server.url} serves {plural(len(names), 'model')} "
            f"({', '.join(names)}); say which with --served-model"
        )
    return names[0]
