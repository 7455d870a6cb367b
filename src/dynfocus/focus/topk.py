"""Differentiable selection of the best-scored prototypes (Eq. 7-9).

Letters beyond the shared ones: ``L`` prototypes, ``n`` noise samples.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from dynfocus.focus.official import diagonal_gradient

TopkGradient = Literal["exact", "diagonal"]


def hard_topk(
    scores: Tensor, k: int | Sequence[int], mask: Tensor | None = None
) -> Tensor:
    """Keep the best-scored entries in index order (Eq. 7).

    Args:
        scores: Scores, shape ``[B, L]``; ``s`` in the paper.
        k: Entries to keep, from 1 to ``L``, of all rows or of each; ``K`` in the paper.
        mask: True at entries that there are, shape ``[B, L]``.

    Returns:
        Increasing indices, ``[B, K]``, int64, then -1; of equals the lower index stays.

    Raises:
        ValueError: If an argument is not as said, or a score is not finite.
    """
    counts = [k] * len(scores) if isinstance(k, int) else list(k)
    _check_topk(scores, counts)
    scores = scores.detach()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    count = torch.tensor(counts, device=scores.device)[:, None]
    rank = scores.sort(dim=1, descending=True, stable=True).indices.argsort(dim=1)
    index = torch.arange(scores.shape[1], device=scores.device)
    slots = index.where(rank < count, len(index)).sort(dim=1).values[:, : max(counts)]
    return slots.where(slots < len(index), -1)


def perturbed_topk(
    scores: Tensor,
    k: int,
    num_samples: int,
    sigma: float,
    generator: torch.Generator | None = None,
    gradient: TopkGradient = "exact",
) -> Tensor:
    r"""Average the top-k selection over noisy scores (Eq. 8), with a gradient.

    .. math::
        P_\sigma = \frac1n \sum_{i=1}^n
            \mathrm{onehot}(\mathrm{sort}(\mathrm{topK}(s + \sigma z^{(i)})))
        \qquad
        \frac{\partial \ell}{\partial s_j} = \frac1{n\sigma} \sum_{i=1}^n
            \langle g, P^{(i)} \rangle\, z^{(i)}_j

    The right side is the Monte Carlo vector-Jacobian product of Eq. 9 for the
    gradient ``g`` that comes from above. Symbols: ``s`` is ``scores``, ``K`` is
    ``k``, ``n`` is ``num_samples``, ``P_sigma`` the result (transposed).

    Differs from the paper:
        ``exact`` subtracts the mean of ``<g, P>`` over the samples and divides by
        ``n - 1``: the same expectation with less variance. ``diagonal`` is the
        published code, see ``official.diagonal_gradient``.

    Args:
        scores: Scores, shape ``[B, L]``.
        k: Entries to keep, from 1 to ``L``.
        num_samples: Noise samples for each row; one sample serves all ``k`` slots.
        sigma: Scale of the noise, above 0.
        generator: Source of the noise; its device may differ from the scores'.
        gradient: ``exact`` or ``diagonal``.

    Returns:
        Soft indicator, shape ``[B, k, L]``; each of the ``k`` rows sums to 1.

    Raises:
        ValueError: If an argument is not as said, or a score is not finite.
    """
    _check_topk(scores, [k])
    if num_samples < 1 or not sigma > 0 or gradient not in get_args(TopkGradient):
        raise ValueError(
            "num_samples must be at least 1, sigma above 0 and gradient 'exact' or "
            f"'diagonal', got {num_samples}, {sigma} and {gradient!r}; the paper's code "
            "uses 500 and 0.1"
        )
    if scores.dtype not in (torch.float32, torch.float64):
        scores = scores.float()
    source = scores.device if generator is None else generator.device
    shape = (scores.shape[0], num_samples, scores.shape[1])
    noise = torch.randn(shape, generator=generator, device=source, dtype=scores.dtype)
    noise = noise.to(scores.device)  # [B, n, L]
    return _PerturbedTopK.apply(scores, noise, k, sigma, gradient)  # type: ignore[no-untyped-call]


class _PerturbedTopK(Function):
    """Eq. 8 forward, Eq. 9 backward; keeps indices, not one-hot rows."""

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, noise: Tensor, k: int, sigma: float, gradient: str
    ) -> Tensor:
        noisy = torch.add(scores[:, None], noise, alpha=sigma)
        slots = noisy.topk(k, dim=2).indices.sort(dim=2).values  # [B, n, k]
        ctx.save_for_backward(slots, noise)
        ctx.sigma, ctx.gradient = sigma, gradient
        num_rows, num_samples, num_scores = noise.shape
        places = slots + num_scores * torch.arange(k, device=slots.device)
        counts = scores.new_zeros(num_rows, k * num_scores)  # exact in floats
        one = scores.new_ones(()).expand(num_rows, num_samples * k)
        counts.scatter_add_(1, places.flatten(1), one)
        return counts.view(num_rows, k, num_scores) / num_samples

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        slots, noise = ctx.saved_tensors
        if ctx.gradient == "diagonal":
            row = diagonal_gradient(grad, slots, noise) / ctx.sigma
            return row, None, None, None, None
        inner = grad.gather(2, slots.transpose(1, 2)).sum(1)  # <g, P>: [B, n]
        num_samples = noise.shape[1]
        if num_samples > 1:
            inner = (inner - inner.mean(1, keepdim=True)) / (num_samples - 1)
        row = torch.einsum("bn,bnl->bl", inner, noise) / ctx.sigma
        return row, None, None, None, None


def _check_topk(scores: Tensor, counts: Sequence[int]) -> None:
    if scores.ndim != 2 or not 1 <= min(counts) <= max(counts) <= scores.shape[1]:
        raise ValueError(
            "scores must have shape [B, L] and k be from 1 to L, got shape "
            f"{list(scores.shape)} and {sorted(set(counts))}; keep fewer entries"
        )
    if not bool(scores.isfinite().all()):
        raise ValueError(
            "scores must be finite, got NaN or infinity; look for them in the features "
            "or the weights that the scores come from"
        )
