r"""CDPruner: tokens of each step that fit the question and are unlike each other.

Source: "Beyond Attention or Similarity: Maximizing Conditional Diversity for Token Pruning
in MLLMs" (NeurIPS 2025) and code by its authors. With the cosines ``L`` of the tokens of a
step and how similar ``q`` each token is to the question,

.. math::
    \tilde L = \operatorname{diag}(r) \, L \, \operatorname{diag}(r), \qquad
    r = \frac{q - \min q + 10^{-6}}{\max q - \min q}

with the least and the largest of all steps. Each step keeps equally many tokens, grown
greedily to the largest determinant of their part of ``\tilde L`` (`grow_sets`).

Letters: S steps, N tokens a step.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dynfocus.methods.determinants import grow_sets
from dynfocus.methods.pruners.interface import Pruned, PrunerInput, even_counts

_LEAST = 1e-6
_STEPS_AT_ONCE = 32


def prune_cdpruner(given: PrunerInput, num_keep: int) -> Pruned:
    """Keep tokens of each step that fit the question and are unlike (CDPruner).

    Differs from its source:
        How similar a token is to the question is what the scorer makes of its region of
        the frame. The code turns the sign of the cosines of CLIP's patches, which fall
        where CLIP sees what is asked; those of whole crops do not. Where tokens are not
        rated, or all alike, difference alone counts. The number of tokens is a budget, so
        steps may differ by one. The kernel has a jitter, where the code divides by 0 once
        a step has as many tokens as its rank.

    Args:
        given: The host's tokens, and how similar they are to the question.
        num_keep: How many to keep.
    """
    num_steps, each = given.tokens.shape[:2]
    counts = even_counts(num_keep, num_steps).to(given.tokens.device)
    worth = 2 * conditions(given).log()
    mask = torch.zeros(num_steps, each, dtype=torch.bool, device=given.tokens.device)
    every = torch.arange(num_steps, device=mask.device)
    for steps in torch.split(every, _STEPS_AT_ONCE):
        points = F.normalize(given.tokens[steps].float(), dim=2).double()
        most = int(counts[steps].max())
        _, picks = grow_sets(points @ points.mT, worth[steps], most)
        is_kept = torch.arange(most, device=mask.device) < counts[steps, None]
        mask[steps] = mask[steps].scatter(1, picks, is_kept)
    return Pruned(mask=mask)


def conditions(given: PrunerInput) -> Tensor:
    """Scale the similarity of tokens to the question, ``r``: ``[S, N]``, above 0."""
    ones = torch.ones(given.tokens.shape[:2], dtype=torch.float64)
    ones = ones.to(given.tokens.device)
    if given.relevance is None:
        return ones
    values = given.relevance.to(ones)
    rated = values[values.isfinite()]
    if not rated.numel() or rated.min() == rated.max():
        return ones
    values = values.clamp(min=rated.min())
    return (values - rated.min() + _LEAST) / (rated.max() - rated.min())
