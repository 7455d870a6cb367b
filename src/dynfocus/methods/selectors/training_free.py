r"""Methods: what the language model reads of an encoded video.

Letters: S steps, N tokens a step, H width, n tokens kept of a step, L events, R regions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynfocus.focus import HostBudget, dpc_knn
from dynfocus.focus.tokens import NUM_ROD_TOKENS
from dynfocus.methods import choose_aks, choose_bolt
from dynfocus.plugins.host_video import HostVideo

KeyframeRule = Callable[[NDArray[np.float64], int], NDArray[np.int64]]

_MIN_EVENTS = 25
_NUM_NEIGHBORS = 5
_POOLED_SIDE = 4
_WINDOW = 32


@dataclass(frozen=True, kw_only=True)
class KeptStep:
    """What is kept of a step: each token a weighted mean of the step's own."""

    kind: Literal["cone", "rod"]
    score: float
    """Importance, from 0 to 1."""
    places: Tensor
    """The step's token whose position each kept token has, ``[n]``, never falling."""
    weights: Tensor | None = None
    """Share of every token of the step, ``[n, N]``; None where they are kept as they are."""

    def mix(self, tokens: Tensor) -> Tensor:
        """Merge what belongs to the tokens of the step, ``[N, ...]`` to ``[n, ...]``."""
        if self.weights is None:
            return tokens[self.places.to(tokens.device)]
        flat = tokens.flatten(1)
        mixed = self.weights.to(flat.device) @ flat.float()
        return mixed.to(tokens.dtype).view(-1, *tokens.shape[1:])


@dataclass(frozen=True, kw_only=True)
class QuestionLook:
    """What a scorer makes of a question and a video."""

    similarity: Tensor
    """Of each step, whole, to the question: the scorer's own cosine, ``[S]``."""
    relevance: Tensor
    """Of each step, 1 for the best and above 0, ``[S]``."""
    attention: Tensor
    """Share of every token of each step, ``[S, N]``."""

    def take(self, rows: Tensor) -> QuestionLook:
        """Keep some steps, given by increasing rows ``[S']``."""
        return QuestionLook(
            similarity=self.similarity[rows],
            relevance=self.relevance[rows],
            attention=self.attention[rows],
        )


@dataclass(frozen=True)
class Method:
    """A way to spend a budget."""

    num_steps: Callable[[int, HostBudget], int]
    """How many steps to encode, evenly, of so many."""
    select: Callable[[HostVideo, HostBudget, QuestionLook | None], list[KeptStep]]
    """What to keep of each step of such a video."""
    choose_steps: Callable[[QuestionLook, HostBudget], Tensor] | None = None
    """Which of the encoded steps the question chooses, as increasing rows, where there is
    a scorer; by default, and without one, `num_steps` of them evenly."""
    needs_scorer: bool = False
    """Whether it does nothing without a scorer."""


def keep_whole(
    video: HostVideo, budget: HostBudget, look: QuestionLook | None
) -> list[KeptStep]:
    """Keep every token of every step as it is."""
    places = torch.arange(video.tokens_per_step)
    scores = [1.0] * video.num_steps if look is None else look.relevance.tolist()
    return [KeptStep(kind="cone", score=score, places=places) for score in scores]


def fit_whole_steps(num_steps: int, budget: HostBudget) -> int:
    """Count the whole steps that fit."""
    fitting = budget.num_for_steps // budget.tokens_per_step
    if fitting < 1:
        least = budget.tokens_per_step + budget.num_tail
        raise ValueError(
            f"max_video_tokens must be at least {least}, the tokens of one whole frame, "
            f"got {budget.max_video_tokens}; raise the budget or use method 'dynfocus'"
        )
    return min(num_steps, fitting)


def look_at_all(num_steps: int, budget: HostBudget) -> int:
    """Count every step, of a video of which at least one whole step fits."""
    fit_whole_steps(num_steps, budget)
    return num_steps


def keep_relevant(look: QuestionLook, budget: HostBudget) -> Tensor:
    """Of as many equal stretches of the video as there may be steps, keep the best step.

    Args:
        look: What the scorer makes of every encoded step.
        budget: The budget.

    Returns:
        Increasing rows, one a stretch.
    """
    num_steps = len(look.similarity)
    kept = budget.num_steps(num_steps)
    edges = [i * num_steps // kept for i in range(kept + 1)]
    stretches = look.similarity.cpu().tensor_split(edges[1:-1])
    best = [int(stretch.argmax()) for stretch in stretches]
    return torch.tensor(edges[:-1]) + torch.tensor(best)


def choose_by(rule: KeyframeRule) -> Callable[[QuestionLook, HostBudget], Tensor]:
    """Let a rule choose as many whole steps as fit, by their similarity.

    Args:
        rule: What chooses so many frames by their scores, ``[S]``.
    """

    def choose(look: QuestionLook, budget: HostBudget) -> Tensor:
        scores = look.similarity.double().cpu().numpy()
        return torch.from_numpy(rule(scores, fit_whole_steps(len(scores), budget)))

    return choose


def focus(
    video: HostVideo, budget: HostBudget, look: QuestionLook | None
) -> list[KeptStep]:
    r"""Make the steps that matter Cones and all others Rods; nothing is trained.

    Frames are clustered into events by T-DPC over the host's own tokens, pooled to a
    coarse grid. An event matters by the importance of its centre, density times distance
    (Eq. 1, 4). Without a scorer the centres of the events that matter most become Cones,
    as many as `HostBudget` pays for. With one, a step is worth the importance of its
    event times its own relevance, over its rank by that among the steps of the event, and
    the steps worth most become Cones: a question about one moment may have several Cones
    of it, each worth less than the one before. A Cone's tokens are merged by S-DPC; a
    Rod's two are the mean of all and the mean attended by the question, or without a
    scorer the mean weighted by the tokens' own importance.

    Differs from the paper:
        Nothing is learned: the score network is replaced as above and the mixing of
        question and frame in Eq. 11 by the scorer's similarities. Features are scaled to
        unit deviation before clustering, because density depends on their scale.
    """
    scores, order = rank_steps(video, budget, look)
    shares = torch.empty(video.num_steps, dtype=torch.long)
    shares[order] = torch.tensor(budget.share(video.num_steps))
    kept: dict[int, KeptStep] = {}
    for share in sorted(set(shares.tolist())):
        for steps in (shares == share).nonzero()[:, 0].split(_WINDOW):
            merged = _merge_steps(video, steps, share, look)
            for step, places, weights in zip(steps.tolist(), *merged, strict=True):
                kept[step] = KeptStep(
                    kind="cone" if share > NUM_ROD_TOKENS else "rod",
                    score=float(scores[step]),
                    places=places,
                    weights=weights,
                )
    return [kept[step] for step in range(video.num_steps)]


def _merge_steps(
    video: HostVideo, steps: Tensor, share: int, look: QuestionLook | None
) -> tuple[Sequence[Tensor], Sequence[Tensor | None]]:
    """Give the places and weights of steps that have the same number of tokens."""
    if share == video.tokens_per_step:
        return [torch.arange(share)] * len(steps), [None] * len(steps)
    tokens = video.tokens[steps.to(video.tokens.device)]
    if share > NUM_ROD_TOKENS:
        return _rows(*cluster_tokens(tokens, share))
    rows, columns = video.grid
    middle = video.num_front + (rows // 2) * columns + columns // 2
    attention = None if look is None else look.attention[steps]
    return _rows(*sketch_tokens(tokens, middle, attention))


def _rows(*tensors: Tensor) -> Any:
    return [list(tensor) for tensor in tensors]


def rank_steps(
    video: HostVideo, budget: HostBudget, look: QuestionLook | None
) -> tuple[Tensor, Tensor]:
    """Score the steps of a video and order them, those to become Cones first.

    Returns:
        The score of each step from 0 to 1, and the steps, both ``[S]``.
    """
    num_steps = video.num_steps
    num_cones = sum(share > NUM_ROD_TOKENS for share in budget.share(num_steps))
    num_events = min(num_steps, max(_MIN_EVENTS, num_cones))
    points = _standardized(pool_steps(video)[None])
    clusters = dpc_knn(points, num_events, min(_NUM_NEIGHBORS, num_steps))
    event = clusters.assignment[0].cpu()
    centers = clusters.centers[0].cpu()
    importance = clusters.score[0].cpu()[centers].double()
    if look is not None:
        worth = importance[event] * look.relevance.double()
        scores = _min_max(worth / _ranks_within(event, worth))
        return scores, scores.sort(descending=True, stable=True).indices
    scores = _min_max(importance)
    by_score = scores.sort(descending=True, stable=True).indices
    is_center = torch.zeros(num_steps, dtype=torch.bool)
    is_center[centers] = True
    rest = (~is_center).nonzero()[:, 0]
    rest = rest[scores[event[rest]].sort(descending=True, stable=True).indices]
    return scores[event], torch.cat([centers[by_score], rest])


def _ranks_within(event: Tensor, worth: Tensor) -> Tensor:
    """Number the steps of each event from 1, the one of most worth first, ``[S]``."""
    order = worth.sort(descending=True, stable=True).indices
    order = order[event[order].sort(stable=True).indices]  # event after event
    first = torch.searchsorted(event[order], event[order])
    ranks = torch.empty_like(event)
    ranks[order] = torch.arange(len(event)) - first + 1
    return ranks


def pool_steps(video: HostVideo) -> Tensor:
    """Average the tokens of each step over a coarse grid, shape ``[S, P H]``."""
    rows, columns = video.grid
    width = video.tokens.shape[2]
    grid = video.tokens[:, video.num_front :].reshape(-1, rows, columns, width)
    target = min(rows, _POOLED_SIDE), min(columns, _POOLED_SIDE)
    parts = [
        torch.nn.functional.adaptive_avg_pool2d(part.movedim(3, 1).float(), target)
        for part in torch.split(grid, _WINDOW)
    ]
    return torch.cat(parts).flatten(1)


def cluster_tokens(tokens: Tensor, num_kept: int) -> tuple[Tensor, Tensor]:
    """Cluster the tokens of each step: S-DPC (Eq. 1, 4, 5).

    Args:
        tokens: Shape ``[B, N, H]``.
        num_kept: Clusters of a step, ``n``.

    Returns:
        The centre of each cluster, ``[B, n]``, and weights by importance, ``[B, n, N]``.
    """
    clusters = dpc_knn(_standardized(tokens), num_kept, _NUM_NEIGHBORS)
    clusters = clusters.in_point_order()
    numbers = torch.arange(num_kept, device=tokens.device)[:, None]
    member = (clusters.assignment[:, None] == numbers).float()  # [B, n, N]
    scored = member * clusters.score[:, None].float()
    weights = scored.where(scored.sum(2, keepdim=True) > 0, member)
    return clusters.centers.cpu(), weights / weights.sum(2, keepdim=True)


def sketch_tokens(
    tokens: Tensor, middle: int, attention: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Make the two tokens of each Rod.

    The mean stands at the middle of the grid, the other where its largest weight is.

    Args:
        tokens: Shape ``[B, N, H]``.
        middle: Place of the middle.
        attention: Weight of each token for the question, ``[B, N]``.

    Returns:
        Their places, ``[B, 2]``, and weights, ``[B, 2, N]``.
    """
    mean = torch.full_like(tokens[..., 0], 1 / tokens.shape[1], dtype=torch.float32)
    if attention is None:
        importance = dpc_knn(_standardized(tokens), 1, _NUM_NEIGHBORS).score.float()
        total = importance.sum(1, keepdim=True)
        attention = torch.where(total > 0, importance / total.clamp(min=1e-30), mean)
    attention = attention.to(mean)
    peak = attention.argmax(1).cpu()
    places = torch.stack([torch.full_like(peak, middle), peak], dim=1)
    order = places.sort(dim=1, stable=True)
    weights = torch.stack([mean, attention], dim=1)
    index = order.indices.to(weights.device)[..., None].expand_as(weights)
    return order.values, weights.gather(1, index)


def _standardized(points: Tensor) -> Tensor:
    """Scale the points of each set ``[B, N, C]`` to mean 0 and unit deviation."""
    points = points.float()
    points = points - points.mean(1, keepdim=True)
    deviation = points.square().mean((1, 2), keepdim=True).sqrt()
    return points / deviation.clamp(min=1e-6)


def _min_max(scores: Tensor) -> Tensor:
    spread = scores.max() - scores.min()
    if spread <= 0:
        return torch.ones_like(scores)
    return (scores - scores.min()) / spread


METHODS: dict[str, Method] = {
    "aks": Method(look_at_all, keep_whole, choose_by(choose_aks), needs_scorer=True),
    "bolt": Method(look_at_all, keep_whole, choose_by(choose_bolt), needs_scorer=True),
    "dynfocus": Method(
        lambda count, budget: budget.num_steps(count), focus, keep_relevant
    ),
    "none": Method(lambda count, budget: count, keep_whole),
    "uniform": Method(fit_whole_steps, keep_whole),
}
"""Methods by name."""
