"""Conversations become token ids with labels on the assistant's words only.

The layout is Vicuna's without its system sentence:
``USER: question ASSISTANT: answer</s>USER: ...``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

IGNORED = -100


def encode_conversation(
    tokenizer: PreTrainedTokenizerFast, turns: Sequence[tuple[str, str]]
) -> dict[str, Tensor]:
    """Encode question and answer pairs.

    Args:
        tokenizer: The language model's.
        turns: Human and assistant texts, at least one pair.

    Returns:
        ``input_ids`` and ``labels`` ``[S]``, int64; the loss is on each answer and its
        end token.
    """
    ids: list[int] = [int(tokenizer.bos_token_id)]
    labels: list[int] = [IGNORED]
    for question, answer in turns:
        asked = tokenizer.encode(
            f"USER: {question} ASSISTANT:", add_special_tokens=False
        )
        said = tokenizer.encode(f" {answer}", add_special_tokens=False)
        said.append(int(tokenizer.eos_token_id))
        ids += asked + said
        labels += [IGNORED] * len(asked) + said
    return {"input_ids": torch.tensor(ids), "labels": torch.tensor(labels)}


def insert_before(
    sample: dict[str, Tensor], token_id: int, words: list[int]
) -> dict[str, Tensor]:
    """Insert words before the first token of a kind; the loss ignores them."""
    ids, labels = sample["input_ids"], sample["labels"]
    at = int((ids == token_id).nonzero()[0, 0])
    lead, ignored = ids.new_tensor(words), labels.new_full((len(words),), IGNORED)
    return {
        "input_ids": torch.cat([ids[:at], lead, ids[at:]]),
        "labels": torch.cat([labels[:at], ignored, labels[at:]]),
    }


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
    front = [int(tokenizer.bos_token_id)]
    front += tokenizer.encode(room, add_special_tokens=False)
    said = tokenizer.encode(f"{caption}\n", add_special_tokens=False)
    return {
        "input_ids": torch.tensor(front + said),
        "labels": torch.tensor([IGNORED] * len(front) + said),
    }


def pad_samples(samples: Sequence[dict[str, Tensor]], pad_id: int) -> dict[str, Tensor]:
    """Pad samples on the right into one batch with its attention mask."""
    lengths = torch.tensor([len(s["input_ids"]) for s in samples])
    mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]  # [B, S]

    def padded(name: str, filler: int) -> Tensor:
        batch = torch.full(mask.shape, filler)
        batch[mask] = torch.cat([s[name] for s in samples])
        return batch

    return {
        "input_ids": padded("input_ids", pad_id),
        "labels": padded("labels", IGNORED),
        "attention_mask": mask.long(),
    }
