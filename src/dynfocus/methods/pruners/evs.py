r"""EVS: tokens that differ from those at the same place a step before.

Source: "Efficient Video Sampling: Pruning Temporally Redundant Tokens for Faster VLM
Inference" (2025) as vLLM has it. The first step stays whole. Any other token counts

.. math::
    1 - \cos(x_{t, n}, x_{t - 1, n})

and those that count most are kept, of equal ones the earlier.

Letters: S steps, N tokens a step, H width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def keep_evs(tokens: Tensor, num_keep: int) -> Tensor:
    """Keep the first step and what changes most (EVS).

    Differs from its source:
        The number of tokens is a budget, not a share. Positions of what is left out are
        not closed up: a kept token has the position that it had.

    Args:
        tokens: The host's tokens, ``[S, N, H]``.
        num_keep: How many to keep, at least ``N``.

    Returns:
        True at tokens that are kept, ``[S, N]``.
    """
    num_steps, each = tokens.shape[:2]
    unlike = torch.full((num_steps, each), torch.inf, device=tokens.device)
    if num_steps > 1:
        now, before = tokens[1:].float(), tokens[:-1].float()
        unlike[1:] = 1 - F.cosine_similarity(now, before, dim=2)
    return largest(unlike, num_keep)


def largest(worth: Tensor, num_keep: int) -> Tensor:
    """Mark the largest of a table ``[S, N]``, of equal ones the earlier."""
    order = worth.flatten().sort(descending=True, stable=True).indices[:num_keep]
    mask = torch.zeros(worth.numel(), dtype=torch.bool, device=worth.device)
    mask[order] = True
    return mask.view_as(worth)
