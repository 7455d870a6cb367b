"""Conversations become token ids with labels on the assistant's words only.

The layout of turns is Vicuna's: ``USER: question ASSISTANT: answer</s>USER: ...``, with a
system sentence before it if there is one. A text is tokenised whole, as the processor
does it, and labelled by the characters that each token covers; so training reads exactly
the prompt that asking writes, whatever the tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from dynfocus.models.prompts import VIDEO_TOKEN
from dynfocus.training.samples import Sample, media_of
from dynfocus.turns import MARKS

IGNORED = -100


def encode_conversation(
    tokenizer: PreTrainedTokenizerFast,
    turns: Sequence[tuple[str, str]],
    system: str = "",
) -> dict[str, Tensor]:
    """Encode question and answer pairs.

    Args:
        tokenizer: The language model's.
        turns: Human and assistant texts, at least one pair.
        system: What stands before the first turn.

    Returns:
        ``input_ids`` and ``labels`` ``[S]``, int64; the loss is on each answer and its
        end token.
    """
    text = f"{system} " if system else ""
    spans = []
    for question, answer in turns:
        text += f"USER: {question} ASSISTANT:"
        start = len(text)
        text += f" {answer}{tokenizer.eos_token}"
        spans.append((start, len(text)))
    return _encode_labelled(tokenizer, text, spans)


def encode_caption(
    tokenizer: PreTrainedTokenizerFast, room: str, caption: str
) -> dict[str, Tensor]:
    """Encode a caption after its video, without roles (``plain_guided``).

    The human text does not enter the language model; it guides the text encoder alone.

    Args:
        tokenizer: The language model's.
        room: The video's placeholders.
        caption: What to say; the loss is on it and on a newline after it.
    """
    text = f"{room}{caption}\n"
    return _encode_labelled(tokenizer, text, [(len(room), len(text))])


def _encode_labelled(
    tokenizer: PreTrainedTokenizerFast, text: str, spans: Sequence[tuple[int, int]]
) -> dict[str, Tensor]:
    """Tokenise a text whose loss is on the characters of some half-open spans."""
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids = torch.tensor(encoded["input_ids"])
    starts, ends = torch.tensor(encoded["offset_mapping"]).unbind(1)
    labels = torch.full_like(ids, IGNORED)
    for first, last in spans:
        inside = (starts >= first) & (ends <= last) & (ends > starts)
        labels[inside] = ids[inside]
    return {"input_ids": ids, "labels": labels}


def expand_blocks(
    sample: dict[str, Tensor], token_id: int, blocks: Sequence[list[int]]
) -> dict[str, Tensor]:
    """Put the tokens of each block in the place of its mark; the loss ignores them.

    Args:
        sample: ``input_ids`` and ``labels`` with one mark a block.
        token_id: The mark.
        blocks: The tokens of each block, in reading order.
    """
    ids, labels = sample["input_ids"], sample["labels"]
    marks = (ids == token_id).nonzero()[:, 0].tolist()
    new_ids, new_labels, end = [], [], 0
    for at, words in zip(marks, blocks, strict=True):
        new_ids += [ids[end:at], ids.new_tensor(words)]
        new_labels += [labels[end:at], labels.new_full((len(words),), IGNORED)]
        end = at + 1
    return {
        "input_ids": torch.cat([*new_ids, ids[end:]]),
        "labels": torch.cat([*new_labels, labels[end:]]),
    }


def padding_id(tokenizer: Any) -> int:
    """Choose a token for padding; Llama's tokenizer has none of its own."""
    for token in (
        tokenizer.pad_token_id,
        tokenizer.unk_token_id,
        tokenizer.eos_token_id,
    ):
        if token is not None:
            return int(token)
    return 0


def pad_rows(rows: Sequence[Tensor], filler: int) -> tuple[Tensor, Tensor]:
    """Pad rows on the right.

    Returns:
        The rows and the mask of what is real, both ``[B, S]``.
    """
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]  # [B, S]
    padded = torch.full(mask.shape, filler)
    padded[mask] = torch.cat(list(rows))
    return padded, mask


def pad_samples(samples: Sequence[dict[str, Tensor]], pad_id: int) -> dict[str, Tensor]:
    """Pad samples on the right into one batch.

    There is no attention mask: a causal model never looks ahead to the padding, and
    without a mask attention takes half the time on a CPU.
    """
    ids, _ = pad_rows([s["input_ids"] for s in samples], pad_id)
    labels, _ = pad_rows([s["labels"] for s in samples], IGNORED)
    return {"input_ids": ids, "labels": labels}


def conversation_turns(sample: Sample) -> list[tuple[str, str]]:
    """Return question and answer pairs without the placeholder."""
    texts = [turn["value"] for turn in sample["conversations"]]
    for mark in MARKS:
        texts = [text.replace(mark, "").strip() for text in texts]
    return list(zip(texts[::2], texts[1::2], strict=True))


def marked_turns(sample: Sample) -> list[int]:
    """Return the human turn of each mark; the first turn once if there is none."""
    asked = [turn["value"] for turn in sample["conversations"][::2]]
    counts = [sum(text.count(mark) for mark in MARKS) for text in asked]
    return [i for i, count in enumerate(counts) for _ in range(count)] or [0]


@dataclass(frozen=True)
class Place:
    """One place of a conversation that shows a medium."""

    turn: int
    """The human turn."""
    medium: int = 0
    """Which of the media of the sample."""
    is_front: bool = True
    """Whether it stands before the words of the turn."""


def media_places(sample: Sample) -> list[Place]:
    """Give each medium of a sample its place: its own mark, or else the first mark."""
    marked = marked_turns(sample)
    count = len(media_of(sample))
    if len(marked) != count:
        marked = marked[:1] * count
    return [Place(turn, medium) for medium, turn in enumerate(marked)]


def place_marks(
    turns: Sequence[tuple[str, str]], places: Sequence[Place]
) -> list[tuple[str, str]]:
    """Write marks on lines of their own, before or behind the words of their turns.

    Args:
        turns: Questions and answers.
        places: What is shown where.
    """
    marked = list(turns)
    for number, (words, answer) in enumerate(turns):
        here = [place for place in places if place.turn == number]
        front = [VIDEO_TOKEN for place in here if place.is_front]
        back = [VIDEO_TOKEN] * (len(here) - len(front))
        marked[number] = ("\n".join([*front, words, *back]), answer)
    return marked
