"""Who judges: a model behind an OpenAI-compatible address, or one of transformers here."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

from dynfocus.backends import ChatClient, Server, find_served_model
from dynfocus.evaluation.judges.prompts import Messages


class Judge(Protocol):
    """What answers the messages of a prompt, the same each time as far as it can."""

    @property
    def name(self) -> str:
        """Which judge it is: results of different ones do not compare."""

    def answer(self, messages: Messages, max_new_tokens: int) -> str:
        """Answer.

        Raises:
            BackendError: A server did not answer, was busy, or refused.
        """


@dataclass(frozen=True)
class ServerJudge:
    """A model at a server, asked for its likeliest words."""

    client: ChatClient
    model: str
    """What the server calls it; a date in it keeps it from changing."""

    @property
    def name(self) -> str:
        """Name the model and the machine."""
        return f"{self.model} at {self.client.server.host}"

    def answer(self, messages: Messages, max_new_tokens: int) -> str:
        """Ask the server."""
        body = {
            "model": self.model,
            "messages": messages,
            "temperature": 0.0,
            "max_tokens": max_new_tokens,
        }
        return self.client.complete(body).text


class LocalJudge:
    """A language model of transformers on this machine, greedy.

    Args:
        source: A folder or a name on the hub.
    """

    def __init__(self, source: str) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.name = source
        self._lock = Lock()  # one at a time: it has the machine to itself
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(source)
            self._model: Any = AutoModelForCausalLM.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"the judge {source} cannot be loaded: {' '.join(str(error).split())[:200]}; "
                "name a folder or a hub name of a language model"
            ) from error
        if self._tokenizer.chat_template is None:
            raise ValueError(
                f"the judge {source} has no chat template; name a model that was tuned to "
                "follow instructions"
            )
        self._model.eval()

    def answer(self, messages: Messages, max_new_tokens: int) -> str:
        """Continue the chat template."""
        import torch

        with self._lock, torch.inference_mode():
            given = self._tokenizer.apply_chat_template(
                messages,
                add_generation_prompt=True,
                return_tensors="pt",
                return_dict=True,
            )
            made = self._model.generate(
                **given, max_new_tokens=max_new_tokens, do_sample=False
            )
        new = made[0, given["input_ids"].shape[1] :]
        text: str = self._tokenizer.decode(new, skip_special_tokens=True)
        return text.strip()


def open_judge(
    url: str | None,
    model: str | None,
    api_key_variable: str | None = None,
) -> Judge:
    """Reach a judge, or load it.

    Args:
        url: The server; None for a model of transformers on this machine.
        model: Its name at the server, where it serves several; else a folder or hub name.
        api_key_variable: Environment variable of the server's key.

    Raises:
        ValueError: There is no such model, or none is named.
        BackendError: The server does not answer.
    """
    if url is None:
        if model is None:
            raise ValueError(
                "no judge is named; give --judge-url, --judge-model, or both"
            )
        return LocalJudge(model)
    server = Server(url=url, api_key_variable=api_key_variable)
    client = ChatClient(server)
    return ServerJudge(client, model or find_served_model(client))
