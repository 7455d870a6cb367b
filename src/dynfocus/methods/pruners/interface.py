"""What a pruner is given and gives back.

Letters: S steps, N tokens a step, H width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class PrunerInput:
    """The tokens of a host, as a pruner sees them."""

    tokens: Tensor
    """The host's own tokens, ``[S, N, H]``."""
    relevance: Tensor | None = None
    """Similarity of each token to the question, minus infinity at those before the grid
    of a step, ``[S, N]``; None where tokens are not rated."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pruned:
    """The tokens that a pruner keeps."""

    mask: Tensor
    """True at tokens that are kept, ``[S, N]``."""
    merge: Callable[[Tensor], Tensor] | None = None
    """Merges what is left out into what is kept, ``[S, N, ...]`` to the same shape; None
    where tokens stay as they are."""


Pruner = Callable[[PrunerInput, int], Pruned]
"""Keeps so many tokens, fewer than there are."""


def by_tokens(rule: Callable[[Tensor, int], Tensor]) -> Pruner:
    """Make a pruner of a rule that looks at tokens alone and leaves them as they are.

    Args:
        rule: Takes tokens ``[S, N, H]`` and a number, and gives a mask ``[S, N]``.
    """

    def prune(given: PrunerInput, num_keep: int) -> Pruned:
        return Pruned(mask=rule(given.tokens, num_keep))

    return prune


def even_counts(total: int, num_steps: int) -> Tensor:
    """Share tokens out over steps, as evenly as can be: whole numbers ``[S]``, CPU."""
    return (torch.arange(num_steps + 1) * total // num_steps).diff()
