"""Samples one after another in a row, none of which sees another.

The samples of a batch stay those that it would have padded; only their places differ, so
the loss and its gradients are the same. Letters: R rows, S tokens of the longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dynfocus.training.conversation import IGNORED, pad_rows


def plan_rows(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Share samples out over rows: the longest first, each in the first row with room.

    Args:
        lengths: Tokens of each sample.
        limit: Tokens of a row at most.

    Returns:
        The numbers of the samples in each row; always the same for the same lengths.

    Raises:
        ValueError: If a sample does not fit into a row of its own.
    """
    rows: list[list[int]] = []
    free: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        length = lengths[number]
        check_length(length, limit)
        place = next((i for i, room in enumerate(free) if length <= room), len(rows))
        if place == len(rows):
            rows.append([])
            free.append(limit)
        rows[place].append(number)
        free[place] -= length
    return rows


def check_length(length: int, limit: int) -> None:
    """Refuse a sample that is longer than a row."""
    if length > limit:
        raise ValueError(
            f"it has {length} tokens, and a row has data.packed_tokens {limit}; raise "
            "it, set data.max_text_tokens or data.max_frames, or leave the sample out"
        )


def pack_samples(
    samples: Sequence[dict[str, Tensor]], rows: Sequence[Sequence[int]], pad_id: int
) -> dict[str, Any]:
    """Lay samples into rows.

    Positions start anew with each sample; that is how the language model tells them
    apart, whatever its attention. The first token of a sample is no answer to the last
    of the one before.

    Args:
        samples: ``input_ids`` and ``labels``, each ``[length]``.
        rows: The numbers of the samples in each row, as `plan_rows` gives them.
        pad_id: What fills the ends of the shorter rows.

    Returns:
        ``input_ids``, ``labels`` and ``position_ids`` ``[R, S]``, and ``use_cache``,
        which is off: with a cache the language model would take a row for one text.
    """
    joined: dict[str, list[Tensor]] = {"input_ids": [], "labels": [], "places": []}
    for row in rows:
        ids = [samples[number]["input_ids"] for number in row]
        labels = [samples[number]["labels"].clone() for number in row]
        for own in labels:
            own[0] = IGNORED
        joined["input_ids"].append(torch.cat(ids))
        joined["labels"].append(torch.cat(labels))
        joined["places"].append(torch.cat([torch.arange(len(own)) for own in ids]))
    input_ids, is_real = pad_rows(joined["input_ids"], pad_id)
    labels_padded, _ = pad_rows(joined["labels"], IGNORED)
    places, _ = pad_rows(joined["places"], 0)
    behind = (~is_real).long().cumsum(1) - 1  # padding is a text of its own
    return {
        "input_ids": input_ids,
        "labels": labels_padded,
        "position_ids": places.where(is_real, behind),
        "use_cache": False,
    }


@torch.no_grad()
def check_rows_are_apart(language_model: nn.Module) -> None:
    """Refuse a language model that lets a sample of a row look at the one before it.

    Args:
        language_model: A causal language model; it reads two rows of eight tokens.

    Raises:
        ValueError: If the second half of a row depends on the first.
    """
    was_training = language_model.training
    language_model.eval()
    weights = next(language_model.parameters())
    first, second, other = torch.arange(12, device=weights.device).view(3, 4)
    places = torch.arange(4, device=weights.device).repeat(2)[None]
    seen = [
        language_model(
            input_ids=torch.cat([before, second])[None],
            position_ids=places,
            use_cache=False,
        ).logits[0, 4:]
        for before in (first, other)
    ]
    language_model.train(was_training)
    if not torch.allclose(seen[0], seen[1], rtol=1e-4, atol=1e-6):
        raise ValueError(
            f"data.packed_tokens: {type(language_model).__name__} mixes the samples of "
            "a row, for it does not read where positions start anew; leave "
            "data.packed_tokens out"
        )
