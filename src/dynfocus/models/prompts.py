"""Prompts: the chat template, the blocks that show videos, room for video tokens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from dynfocus.focus import TokenBudget, TokenPlan, VideoFeatures
from dynfocus.index import VideoIndex
from dynfocus.video import (
    RemoteFile,
    SampledFrames,
    VideoName,
    VideoReader,
    is_frame,
    read_image,
    read_video,
)
from dynfocus.video.frames import count_dimensions

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

Kind = Literal["video", "image"]
Medium = tuple[Kind, Any]
"""A video or an image as the caller gave it."""


@dataclass(frozen=True)
class BlockMark:
    """One placeholder of a prompt."""

    kind: Kind
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
        kind: Kind = "video" if mark.group() == VIDEO_TOKEN else "image"
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


@dataclass(frozen=True)
class Block:
    """One placeholder of a batch of prompts."""

    row: int
    """The prompt."""
    medium: int
    """Which of the media it shows."""
    question: str


def assign_media(
    texts: Sequence[str], images: Any, videos: Any, questions: Any
) -> tuple[list[Block], list[Medium]]:
    """Give every placeholder its medium and its question.

    Args:
        texts: The prompts.
        images: Images, one or several, flat or by prompt.
        videos: Videos, one or several, flat or by prompt.
        questions: Questions of the blocks, flat or by prompt, or None.

    Returns:
        The blocks in reading order, and the media, each of them once.
    """
    marks = [find_blocks(text) for text in texts]
    counts = {
        kind: [sum(mark.kind == kind for mark in row) for row in marks]
        for kind in ("video", "image")
    }
    queues = {
        "video": iter(_flatten(videos, "video", is_video, counts["video"])),
        "image": iter(_flatten(images, "image", is_image, counts["image"])),
    }
    asked = iter(_questions(questions, [len(row) for row in marks]))
    blocks: list[Block] = []
    media: list[Medium] = []
    numbers: dict[tuple[str, object], int] = {}
    for row, row_marks in enumerate(marks):
        for mark in row_marks:
            value = next(queues[mark.kind])
            key = (
                mark.kind,
                str(value) if isinstance(value, str | Path) else id(value),
            )
            if key not in numbers:
                numbers[key] = len(media)
                media.append((mark.kind, value))
            question = next(asked) or mark.question
            if not question.strip():
                raise ValueError(
                    f"the question of prompt {row} is empty; write what to look for in "
                    f"the {mark.kind}"
                )
            blocks.append(Block(row, numbers[key], question.strip()))
    return blocks, media


def read_media(
    blocks: Sequence[Block],
    media: Sequence[Medium],
    budget: Callable[[int | None], TokenBudget],
    *,
    fps: float,
    max_frames: int | None,
    max_video_tokens: int | None,
    frame_size: int,
) -> tuple[list[SampledFrames | VideoFeatures], list[TokenPlan]]:
    """Read every video and image once and plan its tokens.

    All sampled frames are read: the model, which knows the question, chooses those that
    have tokens.

    Args:
        blocks: The blocks in reading order.
        media: The media that they show.
        budget: Gives what plans the tokens of a block, for at most so many.
        fps: Frames per second that are sampled from a file.
        max_frames: At most so many frames a video.
        max_video_tokens: At most so many video tokens a prompt, shared evenly by its
            blocks.
        frame_size: Side of the frames that the model reads.

    Returns:
        Each medium ready for the model, and what a block of it may take.
    """
    per_row = Counter(block.row for block in blocks)
    contents, plans = [], []
    for number, (kind, value) in enumerate(media):
        if isinstance(value, VideoIndex):
            value = value.features
        content: SampledFrames | VideoFeatures
        if isinstance(value, VideoFeatures):
            content = value.thin(max_frames)
        elif kind == "image":
            content = read_image(value)
        else:
            content = read_video(
                value, fps=fps, max_frames=max_frames, frame_size=frame_size
            )
        most = max((per_row[b.row] for b in blocks if b.medium == number), default=1)
        share = None if max_video_tokens is None else max_video_tokens // most
        contents.append(content)
        plans.append(budget(share).plan(_count_frames(content)))
    return contents, plans


def is_video(value: object) -> bool:
    """Tell whether a value is one video, and not a list of videos."""
    kinds = (
        str,
        Path,
        RemoteFile,
        VideoReader,
        SampledFrames,
        VideoFeatures,
        VideoIndex,
    )
    if isinstance(value, kinds) or count_dimensions(value) == 4:
        return True
    return isinstance(value, list | tuple) and bool(value) and all(map(is_frame, value))


def is_image(value: object) -> bool:
    """Tell whether a value is one image, and not a list of images."""
    return isinstance(value, VideoName) or is_frame(value)


def _count_frames(content: SampledFrames | VideoFeatures) -> int:
    if isinstance(content, VideoFeatures):
        return content.num_frames
    return len(content.frames)


def _flatten(
    values: Any, kind: str, is_one: Callable[[object], bool], counts: Sequence[int]
) -> list[Any]:
    """List the media in reading order after matching them with the placeholders."""
    if values is None:
        flat: list[Any] = []
    elif is_one(values):
        flat = [values]
    elif not isinstance(values, list | tuple):
        raise ValueError(
            f"{kind}s must be a {kind}, a list of them or a list of lists of them, got "
            f"{type(values).__name__}"
        )
    elif values and not any(is_one(value) for value in values):
        flat = _flatten_rows(values, kind, is_one, counts)
    else:
        flat = list(values)
    for value in flat:
        if not is_one(value):
            shape = f" of shape {list(value.shape)}" if hasattr(value, "shape") else ""
            raise ValueError(
                f"{type(value).__name__}{shape} is not a {kind}; give a file, "
                f"{'frames [T, H, W, 3]' if kind == 'video' else 'an array [H, W, 3]'} "
                "of uint8 or Pillow images"
            )
    if len(flat) != sum(counts):
        raise ValueError(
            f"the prompts hold {sum(counts)} <{kind}> placeholders but {len(flat)} "
            f"{kind}s are given; write one placeholder for each {kind}"
        )
    return flat


def _flatten_rows(
    rows: Sequence[Any],
    kind: str,
    is_one: Callable[[object], bool],
    counts: Sequence[int],
) -> list[Any]:
    lists = [list(row) if isinstance(row, list | tuple) else [row] for row in rows]
    if len(lists) != len(counts):
        raise ValueError(
            f"{kind}s by prompt must be {len(counts)} lists, one a prompt, got "
            f"{len(lists)}"
        )
    for row, (values, count) in enumerate(zip(lists, counts, strict=True)):
        if len(values) != count:
            raise ValueError(
                f"prompt {row} holds {count} <{kind}> placeholders but {len(values)} "
                f"{kind}s are given for it; write one placeholder for each {kind}"
            )
    return [value for values in lists for value in values]


def _questions(questions: Any, counts: Sequence[int]) -> list[str | None]:
    if questions is None:
        return [None] * sum(counts)
    rows = [questions] if isinstance(questions, str) else list(questions)
    flat = [q for row in rows for q in ([row] if isinstance(row, str) else row)]
    if len(flat) != sum(counts):
        raise ValueError(
            f"the prompts hold {sum(counts)} placeholders but {len(flat)} questions are "
            "given; give one question for each placeholder, or none at all"
        )
    if not all(question.strip() for question in flat):
        raise ValueError("a question is empty; write what to look for in the video")
    return flat
