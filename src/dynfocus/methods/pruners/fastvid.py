r"""FastVID: segments; of each, what its frames attend, and dense tokens that take in the rest.

Source: "FastVID: Dynamic Density Pruning for Fast Video Large Language Models" (NeurIPS
2025) and code by its authors. With the mean ``f`` of the tokens of a step

.. math::
    \text{cut after } t \text{ where } \cos(f_t, f_{t+1}) < \tau, \text{ and at the } c - 1
    \text{ least}

A segment that may keep ``n`` tokens keeps ``(1 - d) n`` of its steps alike, those attended
most, and ``d n`` context tokens of its anchors, each ``p``-th step from the last back: of
what is left of an anchor the centres of density peaks (`dpc_knn`, 4 neighbours). Each
other token of the segment joins, at every anchor, the context token of the largest cosine;
a context token ``a`` that ``m`` others joined becomes

.. math::
    w a + (1 - w) \frac1m \sum_{i} x_i, \qquad w = \max\Big(\beta, \frac{1}{m + 1}\Big)

``c = 8``, ``d = 0.4``, ``p = 4``, ``beta = 0.6`` and, as for Qwen2.5-VL, ``tau = 0.84``.

Letters: S steps, N tokens a step, H width, A anchors, k context tokens of an anchor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dynfocus.focus import dpc_knn
from dynfocus.methods.pruners.interface import Pruned, PrunerInput, even_counts

_LEAST_SEGMENTS = 8
_THRESHOLD = 0.84
_CONTEXT_RATIO = 0.4
_ANCHOR_STRIDE = 4
_OWN_WEIGHT = 0.6
_NUM_NEIGHBORS = 4
_STEPS_AT_ONCE = 32


def prune_fastvid(given: PrunerInput, num_keep: int) -> Pruned:
    """Keep salient tokens, and dense ones that others are merged into (FastVID).

    Differs from its source:
        The attention of a step is that of its mean token, over the host's tokens: a plug
        does not see the tower's own. The number of tokens is a budget, met exactly; what
        an anchor has no room for becomes salient tokens of other steps. Of equally dense
        tokens the earlier counts as denser, without random numbers. Steps that resemble
        the next are not passed over, as they are in the code for Qwen2.5-VL alone.

    Args:
        given: The host's tokens.
        num_keep: How many to keep.
    """
    tokens = given.tokens
    num_steps, each = tokens.shape[:2]
    means = torch.stack([step.float().mean(0) for step in tokens])
    segments = cut_segments(means)
    quota = even_counts(num_keep, num_steps)
    shares = [
        share_segment(int(quota[one].sum()), len(quota[one]), each) for one in segments
    ]
    num_salient = torch.cat([salient for salient, _ in shares])
    num_context = torch.cat([context for _, context in shares])
    is_salient = find_salient(tokens, means, num_salient)
    is_context = find_context(tokens, is_salient, num_context)
    joining = tuple(
        _join(tokens, is_salient, one, anchor, is_context[anchor].nonzero()[:, 0])
        for one in segments
        for anchor in (one.start + num_context[one].nonzero()[:, 0]).tolist()
    )
    return Pruned(mask=is_salient | is_context, merge=_Merge(joining))


def cut_segments(means: Tensor) -> list[slice]:
    """Cut a video where it changes (DySeg).

    Args:
        means: The mean token of each step, ``[S, H]``.

    Returns:
        The steps of each segment, in order of time.
    """
    near = F.cosine_similarity(means[:-1], means[1:], dim=1)
    least = near.sort(stable=True).indices[: _LEAST_SEGMENTS - 1]
    is_cut = near < _THRESHOLD
    is_cut[least] = True
    edges = [0, *(is_cut.nonzero()[:, 0] + 1).tolist(), len(means)]
    return [slice(*pair) for pair in zip(edges, edges[1:], strict=False)]


def share_segment(total: int, num_steps: int, each: int) -> tuple[Tensor, Tensor]:
    """Count the salient and the context tokens of each step of a segment, ``[S]`` both.

    Args:
        total: Tokens that the segment keeps, at most all.
        num_steps: Steps of the segment.
        each: Tokens of a step, ``N``.
    """
    num_context = int(total * _CONTEXT_RATIO)
    salient = _deal(total - num_context, num_steps)
    anchors = torch.arange(num_steps - 1, -1, -_ANCHOR_STRIDE)
    context = torch.zeros_like(salient)
    context[anchors] = _deal(num_context, len(anchors))
    context = torch.minimum(context, each - salient)
    left = total - int((salient + context).sum())
    while left:
        has_room = (salient + context < each).nonzero()[:left, 0]
        salient[has_room] += 1
        left -= len(has_room)
    return salient, context


def find_salient(tokens: Tensor, means: Tensor, counts: Tensor) -> Tensor:
    """Mark the tokens of each step that its mean attends most (ATS), ``[S, N]``."""
    logits = torch.stack(
        [step.float() @ mean for step, mean in zip(tokens, means, strict=True)]
    )
    order = logits.sort(dim=1, descending=True, stable=True).indices
    return order.argsort(dim=1) < counts.to(order.device)[:, None]


def find_context(tokens: Tensor, is_salient: Tensor, counts: Tensor) -> Tensor:
    """Mark the density peaks among what is left of each anchor (DTM), ``[S, N]``."""
    found = torch.zeros_like(is_salient)
    for anchors in torch.split(counts.nonzero()[:, 0], _STEPS_AT_ONCE):
        rows = anchors.to(tokens.device)
        most = max(counts[anchors].tolist(), default=0)
        if not most:
            continue
        valid = ~is_salient[rows]
        peaks = dpc_knn(tokens[rows].float(), most, _NUM_NEIGHBORS, valid).centers
        for row, own, count in zip(rows, peaks, counts[anchors].tolist(), strict=True):
            found[row, own[:count]] = True
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class _Joining:
    """The tokens of a segment that join the context tokens of an anchor."""

    steps: slice
    places: Tensor
    """The context tokens among all, ``[k]``."""
    joins: Tensor
    """Which of them each token of the segment joins, ``[S', N]``; ``k`` for none."""


def _join(
    tokens: Tensor, is_salient: Tensor, steps: slice, anchor: int, places: Tensor
) -> _Joining:
    """Let each token of a segment join the most similar context token of an anchor."""
    centers = F.normalize(tokens[anchor, places].float(), dim=1)
    joins = torch.cat(
        [(part.float() @ centers.T).argmax(2) for part in _parts(tokens[steps])]
    )
    joins[is_salient[steps]] = len(places)
    joins[anchor - steps.start, places] = len(places)
    places = anchor * tokens.shape[1] + places
    return _Joining(steps=steps, places=places, joins=joins)


@dataclass(frozen=True, eq=False)
class _Merge:
    """Merge what joins context tokens into them; all else stays as it is."""

    joining: Sequence[_Joining]

    def __call__(self, values: Tensor) -> Tensor:
        flat = values.flatten(2)
        merged = flat.flatten(0, 1).clone()
        for one in self.joining:
            count = len(one.places)
            sums = flat.new_zeros(count + 1, flat.shape[2], dtype=torch.float32)
            parts = zip(_parts(flat[one.steps]), _parts(one.joins), strict=True)
            for part, joins in parts:
                sums.index_add_(0, joins.flatten(), part.flatten(0, 1).float())
            sizes = one.joins.flatten().bincount(minlength=count + 1)[:count, None]
            share = (1 / (sizes + 1)).clamp(min=_OWN_WEIGHT)
            own = merged[one.places].float()
            mixed = share * own + (1 - share) * sums[:count] / sizes.clamp(min=1)
            merged[one.places] = mixed.to(merged.dtype)
        return merged.view_as(values)


def _parts(values: Tensor) -> Iterator[Tensor]:
    yield from torch.split(values, _STEPS_AT_ONCE)


def _deal(total: int, num_shares: int) -> Tensor:
    """Deal a number out evenly; what is left goes to the first, one each."""
    shares = torch.full((num_shares,), total // num_shares)
    shares[: total % num_shares] += 1
    return shares
