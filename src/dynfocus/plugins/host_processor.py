"""What is needed of a host's processor: words, a chat template, and numbers for frames.

transformers' own video processors need torchvision, and without it no processor of a
video model can be loaded. Frames are therefore prepared here, by the processor's numbers,
and a folder can be read without them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

_SAVED = ("processor_config.json", "video_processor")
_VIDEO_NUMBERS = "video_preprocessor_config.json"
_IMAGE_NUMBERS = "preprocessor_config.json"
_TEMPLATE = "chat_template.jinja"


@dataclass(frozen=True, kw_only=True)
class HostProcessor:
    """Hold what a host's processor knows."""

    tokenizer: Any
    """The host's tokenizer."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """Sizes, colours and patches of the video processor."""
    chat_template: str | None = None
    """The chat template, if it is not the tokenizer's."""
    original: Any = None
    """The processor of transformers that this was taken from."""

    @classmethod
    def of(cls, processor: Any) -> HostProcessor:
        """Take what is needed from a processor of transformers.

        Args:
            processor: What ``AutoProcessor`` gives, or a `HostProcessor`.

        Raises:
            ValueError: It has no tokenizer, or nothing that prepares frames.
        """
        if isinstance(processor, cls):
            return processor
        tokenizer = getattr(processor, "tokenizer", None)
        frames = getattr(processor, "video_processor", None)
        frames = frames or getattr(processor, "image_processor", None)
        if tokenizer is None or frames is None:
            raise ValueError(
                f"processor is a {type(processor).__name__}, which has no tokenizer with "
                "a video or image processor; give the one that AutoProcessor loads for "
                "this model"
            )
        return cls(
            tokenizer=tokenizer,
            numbers=_plain(frames.to_dict()),
            chat_template=getattr(processor, "chat_template", None),
            original=processor,
        )

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> HostProcessor:
        """Read a folder, or a repository of the hub, without torchvision.

        Args:
            folder: Where a processor was saved.

        Raises:
            ValueError: Nothing in it says how frames are prepared.
        """
        from transformers import AutoTokenizer

        numbers = _read_numbers(str(folder))
        template = _read_template(str(folder))
        return cls(
            tokenizer=AutoTokenizer.from_pretrained(folder),
            numbers=numbers,
            chat_template=template,
        )

    def with_defaults(self, numbers: Mapping[str, Any]) -> HostProcessor:
        """Fill in the numbers that this processor leaves out."""
        given = {name: n for name, n in self.numbers.items() if n is not None}
        return replace(self, numbers={**numbers, **given})

    def with_template(self, template: str) -> HostProcessor:
        """Write conversations by another chat template."""
        return replace(self, chat_template=template, original=None)

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Write a conversation by the chat template, up to where the answer begins."""
        writer = self.tokenizer if self.original is None else self.original
        options: dict[str, Any] = {}
        if self.original is None and self.chat_template is not None:
            options["chat_template"] = self.chat_template
        template = self.chat_template or getattr(self.tokenizer, "chat_template", None)
        if template is None:
            raise ValueError(
                "the processor has no chat template, so no prompt can be written; load "
                "one that has, or set processor.chat_template"
            )
        text: str = writer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True, **options
        )
        return text

    def token_ids(self, text: str) -> list[int]:
        """Turn a written prompt into tokens; a template's own first token is not doubled."""
        bos = self.tokenizer.bos_token
        is_begun = bos is not None and text.startswith(bos)
        ids: list[int] = self.tokenizer(
            text, add_special_tokens=not is_begun, verbose=False
        )["input_ids"]
        return ids


def _plain(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Turn sizes that are objects into mappings without what is not set."""
    return {
        name: {k: v for k, v in dict(value).items() if v is not None}
        if name.endswith("size") and hasattr(value, "items")
        else value
        for name, value in numbers.items()
    }


def _find(folder: str, name: str) -> Path | None:
    """Find a file of a folder or repository; None if there is none."""
    from transformers.utils.hub import cached_file

    path = cached_file(
        folder,
        name,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if path is None else Path(path)


def _read_json(folder: str, name: str) -> dict[str, Any]:
    path = _find(folder, name)
    if path is None:
        return {}
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{name} of {folder} is not valid JSON ({error}); save the processor anew"
        ) from error
    return tree if isinstance(tree, dict) else {}


def _read_numbers(folder: str) -> dict[str, Any]:
    saved = _read_json(folder, _SAVED[0])
    numbers = (
        saved.get(_SAVED[1])
        or _read_json(folder, _VIDEO_NUMBERS)
        or saved.get("image_processor")
        or _read_json(folder, _IMAGE_NUMBERS)
    )
    if not numbers:
        raise ValueError(
            f"{folder} has neither {_SAVED[0]} nor {_VIDEO_NUMBERS} nor {_IMAGE_NUMBERS}, "
            "so nothing says how frames are prepared; save the processor into it"
        )
    return dict(numbers)


def _read_template(folder: str) -> str | None:
    path = _find(folder, _TEMPLATE)
    if path is not None:
        return path.read_text(encoding="utf-8")
    for name in (f"{Path(_TEMPLATE).stem}.json", _SAVED[0]):
        template = _read_json(folder, name).get("chat_template")
        if template:
            return str(template)
    return None
