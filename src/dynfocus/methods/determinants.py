r"""Sets of things that are worth much and unlike each other: greedy largest determinants.

Source: "Fast Greedy MAP Inference for Determinantal Point Process to Improve
Recommendation Diversity" (NeurIPS 2018). With a kernel ``L`` and the worth ``w`` of each
thing by itself, a set ``S`` is worth

.. math::
    \sum_{i \in S} w_i + \log\det L_S

and grows by the thing that adds most. The Cholesky factor of ``L_S`` grows by a row with
each, so that nothing is factored twice. ``w_i = 2 log r_i`` is the same as the kernel
``diag(r) L diag(r)``.

Letters: B sets, m things of a set, J things to choose.
"""

from __future__ import annotations

import torch
from torch import Tensor

JITTER = 1e-6
"""Is added to the diagonal, so that of things that are alike the better one is next."""
_TINY = 1e-12


def grow_sets(
    like: Tensor, worth: Tensor, num_keep: int, before: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Grow each set one by one, by what adds most to its worth.

    Args:
        like: The kernel, positive semidefinite but for rounding, ``[B, m, m]``, float64.
        worth: What each thing is worth by itself, ``[B, m]``.
        num_keep: Things to choose, ``J``, at most ``m``.
        before: The row of the Cholesky factor of what each set has already, ``[B, m]``.

    Returns:
        What none, one, two ... things add, ``[B, J + 1]``, and these things, of equally
        good ones the earlier, ``[B, J]``.
    """
    num, size = like.shape[:2]
    every = torch.arange(num, device=like.device)
    factors = like.new_zeros(num, num_keep + 1, size)
    if before is not None:
        factors[:, 0] = before
    spare = like.diagonal(dim1=1, dim2=2) + JITTER - factors[:, 0].square()
    gains = like.new_zeros(num, num_keep + 1)
    picks = torch.zeros(num, num_keep, dtype=torch.long, device=like.device)
    is_taken = torch.zeros(num, size, dtype=torch.bool, device=like.device)
    for step in range(num_keep):
        gain = (worth + spare.clamp(min=_TINY).log()).masked_fill(is_taken, -torch.inf)
        pick = gain.argmax(1)
        gains[:, step + 1] = gains[:, step] + gain[every, pick]
        picks[:, step] = pick
        is_taken[every, pick] = True
        rows = factors[:, : step + 1]
        shared = (rows[every, :, pick][:, None] @ rows)[:, 0]
        root = spare[every, pick].clamp(min=_TINY).sqrt()
        factors[:, step + 1] = (like[every, pick] - shared) / root[:, None]
        spare = spare - factors[:, step + 1].square()
    return gains, picks
