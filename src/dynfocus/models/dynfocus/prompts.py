"""Prompts: the chat template, the question of each block, room for video tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

VIDEO_TOKEN = "<video>"
IMAGE_MARK = "<image>"

CHAT_TEMPLATE = """\
{%- macro media(content) -%}
{%- if content is string -%}
{{- '<video>' * (content.split('<video>') | length - 1) -}}
{{- '<image>' * (content.split('<image>') | length - 1) -}}
{%- else -%}
{%- for part in content -%}
{%- if part.type in ['video', 'image'] -%}{{- '<' + part.type + '>' -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- macro words(content) -%}
{%- if content is string -%}
{{- content.replace('<video>', '').replace('<image>', '') | trim -}}
{%- else -%}
{{- content | selectattr('type', 'equalto', 'text') | map(attribute='text')
    | join('\\n') | trim -}}
{%- endif -%}
{%- endmacro -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{- words(message.content) + ' ' -}}
{%- elif message.role == 'user' -%}
{%- set shown = media(message.content) -%}
{{- 'USER: ' + shown + ('\\n' if shown else '') + words(message.content) + ' ' -}}
{%- elif message.role == 'assistant' -%}
{{- 'ASSISTANT: ' -}}
{%- generation -%}
{{- words(message.content) + (eos_token or '') -}}
{%- endgeneration -%}
{%- else -%}
{{- raise_exception('role must be system, user or assistant, got ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- 'ASSISTANT:' -}}
{%- endif -%}
"""

VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The "
    "assistant gives helpful, detailed, and polite answers to the user's questions."
)
"""The sentence before every conversation that Vicuna v1.1 was trained on."""

VICUNA_CHAT_TEMPLATE = (
    "{%- if not messages or messages[0].role != 'system' -%}"
    f'{{{{- "{VICUNA_SYSTEM} " -}}}}'
    "{%- endif -%}\n" + CHAT_TEMPLATE
)
"""`CHAT_TEMPLATE` after Vicuna's system sentence, unless there is another."""

_MARK = re.compile(f"{re.escape(VIDEO_TOKEN)}|{re.escape(IMAGE_MARK)}")
_HUMAN_TURN = re.compile(r"USER:(?P<words>.*?)(?=ASSISTANT:|USER:|\Z)", re.DOTALL)

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class BlockMark:
    """One placeholder of a prompt."""

    kind: Literal["video", "image"]
    question: str
    """The words of the human turn that holds it."""


def find_blocks(text: str) -> list[BlockMark]:
    """List the placeholders of a prompt in reading order, with their questions.

    Without any ``USER:`` in it, the whole prompt is the question.

    Args:
        text: The prompt, one placeholder a block.

    Returns:
        One entry a block.
    """
    turns = [(turn.start(), turn.end()) for turn in _HUMAN_TURN.finditer(text)]
    blocks = []
    for mark in _MARK.finditer(text):
        span = (0, len(text))
        if turns:
            holding = [turn for turn in turns if turn[0] <= mark.start() < turn[1]]
            if not holding:
                raise ValueError(
                    f"the placeholder at character {mark.start()} of the prompt stands "
                    "outside every human turn; move it behind a 'USER:'"
                )
            span = holding[0]
        words = _MARK.sub("", text[span[0] : span[1]]).removeprefix("USER:")
        kind: Literal["video", "image"] = (
            "video" if mark.group() == VIDEO_TOKEN else "image"
        )
        blocks.append(BlockMark(kind, words.strip()))
    return blocks


def repeat_items(items: Sequence[_Item], copies: Sequence[int]) -> list[_Item]:
    """Repeat each item so many times."""
    pairs = zip(items, copies, strict=True)
    return [item for item, count in pairs for _ in range(count)]


def pad_lists(rows: Sequence[list[_Item]], fill: _Item, side: str) -> list[list[_Item]]:
    """Fill rows up to the longest.

    Args:
        rows: The rows.
        fill: What to fill with.
        side: ``"left"`` or ``"right"``.

    Returns:
        Rows of one length.
    """
    if side not in ("left", "right"):
        raise ValueError(f"padding_side must be 'left' or 'right', got {side!r}")
    longest = max(map(len, rows))
    fills = [[fill] * (longest - len(row)) for row in rows]
    if side == "left":
        return [pad + row for pad, row in zip(fills, rows, strict=True)]
    return [row + pad for pad, row in zip(fills, rows, strict=True)]


def pad_ids(rows: Sequence[list[int]], pad_id: int, side: str) -> dict[str, Tensor]:
    """Pad token rows and tell what is real.

    Args:
        rows: Tokens of each row.
        pad_id: Token to pad with.
        side: ``"left"`` or ``"right"``.

    Returns:
        ``input_ids`` and ``attention_mask``, both ``[B, L]``, int64.
    """
    masks = [[1] * len(row) for row in rows]
    return {
        "input_ids": torch.tensor(pad_lists(rows, pad_id, side)),
        "attention_mask": torch.tensor(pad_lists(masks, 0, side)),
    }
