"""What a vLLM server does with prompt embeddings, with the checks that it makes."""

from __future__ import annotations

import base64
import binascii
import io
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.chat_template_utils import _compile_jinja_template

from stand_in_server import RefusedRequestError

MARK = "<prompt_embeds>"
ROLES = ("system", "user", "assistant")


@dataclass
class ServedLanguageModel:
    """Serve an exported language model: check a request, then answer greedily."""

    folder: Path
    content_format: str | None = None
    """``"openai"`` or ``"string"``; found out from the template by default."""
    prompts: list[list[int]] = field(default_factory=list)
    """Tokens of every prompt, the embedded ones as those of the mark."""
    embeds: list[torch.Tensor] = field(default_factory=list)
    """What was sent as embeddings."""

    def __post_init__(self) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(self.folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder)
        self.tokenizer.add_special_tokens({"additional_special_tokens": [MARK]})
        self.mark_id = self.tokenizer.convert_tokens_to_ids(MARK)
        if self.content_format is None:
            self.content_format = detect_format(self.tokenizer.chat_template)

    def check(self, body: dict[str, Any]) -> None:
        """Refuse what a vLLM server refuses."""
        self._render(body)
        ids = [int(token) for token in body.get("logit_bias", {})]
        if any(not 0 <= token < self.model.config.vocab_size for token in ids):
            raise RefusedRequestError("token_id in logit_bias contains out-of-vocab id")
        if body["max_tokens"] < 1:
            raise RefusedRequestError("max_tokens must be at least 1")

    def answer(self, body: dict[str, Any]) -> Iterator[str]:
        """Yield the answer in pieces, as its tokens come."""
        ids, tensors = self._render(body)
        self.prompts.append(ids)
        self.embeds.extend(tensors)
        words = torch.tensor(ids)
        places = words == self.mark_id
        table = self.model.get_input_embeddings()
        with torch.inference_mode():
            embeds = table(words.masked_fill(places, 0))
            embeds[places] = torch.cat(tensors).to(embeds.dtype)
            output = self.model.generate(
                inputs_embeds=embeds[None],
                attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                max_new_tokens=body["max_tokens"],
                do_sample=body["temperature"] != 0,
                suppress_tokens=[int(token) for token in body["logit_bias"]],
            )[0]
        shown = ""
        for end in range(1, len(output) + 1):
            text = self.tokenizer.decode(output[:end], skip_special_tokens=True)
            yield text[len(shown) :]
            shown = text

    def _render(self, body: dict[str, Any]) -> tuple[list[int], list[torch.Tensor]]:
        tensors: list[torch.Tensor] = []
        conversation = [self._message(one, tensors) for one in body["messages"]]
        ids = self.tokenizer.apply_chat_template(
            conversation, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        if ids.count(self.mark_id) != len(tensors):
            raise RefusedRequestError("the prompt lost its placeholders")
        lengths = iter(len(tensor) for tensor in tensors)
        parts = [
            [token] * (next(lengths) if token == self.mark_id else 1) for token in ids
        ]
        return [token for part in parts for token in part], tensors

    def _message(
        self, message: dict[str, Any], tensors: list[torch.Tensor]
    ) -> dict[str, Any]:
        if message["role"] not in ROLES:
            raise RefusedRequestError(f"unknown role {message['role']}")
        texts = [self._part(part, tensors) for part in message["content"]]
        if self.content_format == "string":
            return {"role": message["role"], "content": "\n".join(texts)}
        parts = [{"type": "text", "text": text} for text in texts]
        return {"role": message["role"], "content": parts}

    def _part(self, part: dict[str, Any], tensors: list[torch.Tensor]) -> str:
        if part["type"] == "text" and set(part) == {"type", "text"}:
            if MARK in part["text"]:
                raise RefusedRequestError("text may not contain the placeholder")
            return part["text"]
        if part["type"] != "prompt_embeds" or set(part) != {"type", "data"}:
            raise RefusedRequestError(f"unknown part type: {part['type']}")
        tensors.append(self._load(part["data"]))
        return MARK

    def _load(self, data: str) -> torch.Tensor:
        try:
            content = base64.b64decode(data, validate=True)
            tensor = torch.load(io.BytesIO(content), weights_only=True)
        except (binascii.Error, RuntimeError, pickle.UnpicklingError) as error:
            raise RefusedRequestError(f"no tensor: {error}") from error
        if tensor.layout != torch.strided:
            raise RefusedRequestError("sparse tensors are not accepted")
        if tensor.dim() != 2:
            raise RefusedRequestError(f"`prompt_embeds` must be 2D, got {tensor.shape}")
        hidden = self.model.config.hidden_size
        if tensor.shape[1] != hidden:
            raise RefusedRequestError(
                f"`prompt_embeds` hidden_size {tensor.shape[1]} does not match the "
                f"model's hidden_size {hidden}."
            )
        if not tensor.is_floating_point():
            raise RefusedRequestError(f"dtype {tensor.dtype} is not floating point")
        return tensor


def detect_format(template: str) -> str:
    """Tell as a vLLM server does whether a template reads the parts of a message."""
    environment: ImmutableSandboxedEnvironment = _compile_jinja_template(
        template
    ).environment
    tree = environment.parse(template)
    loops = list(tree.find_all(nodes.For))
    messages = {
        loop.target.name
        for loop in loops
        if isinstance(loop.iter, nodes.Name) and loop.iter.name == "messages"
    }
    for loop in loops:
        access = loop.iter
        reads_content = isinstance(access, nodes.Getattr) and access.attr == "content"
        if reads_content and getattr(access.node, "name", None) in messages:
            return "openai"
    return "string"
