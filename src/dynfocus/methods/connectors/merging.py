"""Memories of frames in which those next to each other that are most alike become one.

MovieChat merges blocks, MA-LMM each place by itself, VideoScan drops the earlier of two:
one step is the same for all.

Letters beyond the shared ones: ``L`` entries of a memory, in order of time; ``G`` rows of
it that are merged apart; ``P`` tokens of a row, which are merged together; ``C`` their
width.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

Similarity = Literal["dot", "cosine", "flat"]
Rule = Literal["weighted", "plain", "later"]
Read = Literal["queries", "memory"]
"""What becomes of a memory: queries read it, or it is given as it is."""


class Memory(NamedTuple):
    """What is remembered, oldest first."""

    tokens: Tensor
    """Tokens, ``[L, G, P, C]``."""
    sizes: Tensor
    """How many frames each row of an entry merges, ``[L, G]``."""
    seconds: Tensor
    """Their mean time, ``[L, G]``, float64."""

    @classmethod
    def of(cls, tokens: Tensor, seconds: Tensor) -> Self:
        """Remember frames, tokens ``[L, G, P, C]``, at times ``[L]``."""
        rows = tokens.shape[:2]
        times = seconds.to(tokens.device).double()[:, None].expand(rows)
        return cls(tokens, torch.ones(rows, device=tokens.device), times)

    def part(self, start: int, end: int) -> Self:
        """Take the entries of a half-open range."""
        return type(self)(*(part[start:end] for part in self))

    def join(self, later: Memory) -> Self:
        """Put what came later behind what is there."""
        return type(self)(*(torch.cat(pair) for pair in zip(self, later, strict=True)))


def compare_neighbours(tokens: Tensor, similarity: Similarity) -> Tensor:
    """Tell how alike each entry is to the next one, ``[L - 1, G]``.

    Args:
        tokens: Tokens, ``[L, G, P, C]``.
        similarity: ``dot``: the mean of all dot products of two rows' tokens, which is
            that of their mean tokens; ``cosine``: the mean cosine of tokens at the same
            place; ``flat``: the cosine of all tokens in a row.
    """
    tokens = tokens.float()
    if similarity == "dot":
        means = tokens.mean(2)
        return (means[1:] * means[:-1]).sum(2)
    if similarity == "flat":
        tokens = tokens.flatten(2)[:, :, None]
    return F.cosine_similarity(tokens[1:], tokens[:-1], dim=3).mean(2)


def shrink(
    memory: Memory, similarity: Similarity = "cosine", rule: Rule = "weighted"
) -> Memory:
    r"""Make one entry of the two neighbours that are most alike; of alike pairs the first.

    .. math::
        t^* = \arg\max_t \mathrm{sim}(m_t, m_{t+1}) \qquad
        m_{t^*} \leftarrow \frac{n_{t^*} m_{t^*} + n_{t^*+1} m_{t^*+1}}{n_{t^*} + n_{t^*+1}}

    Each row has a pair of its own.

    Args:
        memory: At least two entries; ``m`` with sizes ``n``.
        similarity: See `compare_neighbours`.
        rule: ``weighted`` is the formula; ``plain`` counts both alike, whatever they
            merge already; ``later`` keeps the later of both as it is.

    Returns:
        The memory with an entry less.
    """
    pair = compare_neighbours(memory.tokens, similarity).argmax(0)  # [G]
    rows = torch.arange(len(pair), device=pair.device)
    step = torch.arange(len(memory.tokens) - 1, device=pair.device)[:, None]
    first, second = memory.sizes[pair, rows], memory.sizes[pair + 1, rows]
    share = {
        "weighted": first / (first + second),
        "plain": torch.full_like(first, 0.5),
        "later": torch.zeros_like(first),
    }[rule]

    def fold(values: Tensor) -> Tensor:
        part = share.to(values.dtype).view(-1, *[1] * (values.ndim - 2))
        merged = part * values[pair, rows] + (1 - part) * values[pair + 1, rows]
        return values[step + (step > pair), rows].index_put((pair, rows), merged)

    merged_sizes = second if rule == "later" else first + second
    return Memory(
        tokens=fold(memory.tokens),
        sizes=fold(memory.sizes).index_put((pair, rows), merged_sizes),
        seconds=fold(memory.seconds),
    )


def shrink_to(
    memory: Memory,
    num_keep: int,
    similarity: Similarity = "cosine",
    rule: Rule = "weighted",
) -> Memory:
    """Merge, step by step, until so many entries are left; see `shrink`."""
    while len(memory.tokens) > num_keep:
        memory = shrink(memory, similarity, rule)
    return memory
