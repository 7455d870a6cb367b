"""A budget of video tokens, spent on an encoded video as a selector says.

Nothing is trained: what is kept of a step are weighted means of its own tokens. A dual
encoder compares the question with frames and their regions.

Letters: T frames, S steps (a frame, or for some models a pair of frames), F frames of a
step, N tokens a step, H width, n tokens kept of a step, B steps of a window, R regions,
C width of a dual encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dynfocus.focus import HostBudget, dpc_knn, merge_weights, uniform_indices
from dynfocus.focus.tokens import NUM_ROD_TOKENS
from dynfocus.methods.pruners import Pruned, Pruner, PrunerInput
from dynfocus.methods.scorers import FrameScorer
from dynfocus.methods.selectors import Selection, Selector, SelectorInput
from dynfocus.methods.selectors.cones_and_rods import (
    NUM_NEIGHBORS,
    TEMPERATURE,
    standardized,
)

REGION_SIDE = 3
"""A frame is seen whole and in 3 x 3 regions."""
_POOLED_SIDE = 4
_WINDOW = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class QuestionSimilarity:
    """How well the steps of a video and their tokens fit a question."""

    whole: Tensor
    """Similarity of each step, whole: the scorer's own cosine, ``[S]``."""
    tokens: Tensor | None
    """Similarity of every token of each step, minus infinity at those before the grid,
    ``[S, N]``; None where it is not known."""
    vectors: Tensor | None = None
    """The scorer's own unit vector of each step, ``[S, C]``, if it has them."""
    is_absolute: bool = False
    """Whether ``whole`` compares with that of other videos."""

    @property
    def attention(self) -> Tensor | None:
        """Share of every token of each step, at a temperature of 0.02, ``[S, N]``."""
        return None if self.tokens is None else (self.tokens / TEMPERATURE).softmax(1)

    def take(self, rows: Tensor) -> QuestionSimilarity:
        """Keep some steps, given by increasing rows ``[S']``."""
        return QuestionSimilarity(
            whole=self.whole[rows],
            tokens=None if self.tokens is None else self.tokens[rows],
            vectors=None if self.vectors is None else self.vectors[rows],
            is_absolute=self.is_absolute,
        )


def encode_regions(
    scorer: FrameScorer, frames: NDArray[np.uint8], frames_per_step: int
) -> Tensor:
    """Encode frames whole and region by region.

    Args:
        scorer: A dual encoder.
        frames: Frames of uint8, shape ``[T, H, W, 3]``.
        frames_per_step: Frames that are averaged, ``F``.

    Returns:
        Unit vectors, shape ``[S, 1 + R, C]``; the whole first, then rows of regions.
    """
    views = [frames, *_regions(frames)]
    seen = torch.stack(
        [torch.from_numpy(scorer.encode_frames(view)) for view in views], dim=1
    )
    steps = [part.mean(0) for part in torch.split(seen, frames_per_step)]
    return F.normalize(torch.stack(steps), dim=2)


def compare_regions(
    scorer: FrameScorer,
    regions: Tensor | None,
    question: str,
    *,
    grid: tuple[int, int],
    num_front: int,
) -> QuestionSimilarity:
    """Compare an encoded video with a question.

    A token is as similar as its region, bilinear between the regions' centres.

    Args:
        scorer: The dual encoder.
        regions: What `encode_regions` gave.
        question: The question.
        grid: Rows and columns of the tokens of a step.
        num_front: Tokens of a step before its grid; they get no attention.

    Raises:
        ValueError: The video was encoded without a scorer.
    """
    if regions is None:
        raise ValueError(
            "the video was encoded without a scorer; index it anew with the model that "
            "has one"
        )
    words = torch.from_numpy(scorer.encode_text(question))
    similar = regions @ words.to(regions)  # [S, 1 + R]
    square = similar[:, 1:].view(-1, 1, REGION_SIDE, REGION_SIDE)
    tokens = F.interpolate(square, grid, mode="bilinear").flatten(1)
    return QuestionSimilarity(
        whole=similar[:, 0],
        tokens=F.pad(tokens, (num_front, 0), value=-torch.inf),
        vectors=regions[:, 0],
        is_absolute=scorer.is_absolute,
    )


def _regions(frames: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Cut frames into regions, row by row; tiny frames overlap by a pixel."""
    height, width = frames.shape[1:3]

    def cut(length: int, index: int) -> slice:
        start = index * length // REGION_SIDE
        return slice(start, max(start + 1, (index + 1) * length // REGION_SIDE))

    return [
        np.ascontiguousarray(frames[:, cut(height, row), cut(width, column)])
        for row in range(REGION_SIDE)
        for column in range(REGION_SIDE)
    ]


@dataclass(frozen=True, kw_only=True)
class KeptStep:
    """What is kept of a step: each token a weighted mean of the step's own."""

    kind: Literal["cone", "rod", "low", "high"]
    score: float
    """Importance, from 0 to 1."""
    places: Tensor
    """The step's token whose position each kept token has, ``[n]``, never falling."""
    weights: Tensor | None = None
    """Share of every token of the step, ``[n, N]``; None where they are kept as they are."""
    rating: float | None = None
    """What the scorer makes of the step, where that compares between videos."""

    def mix(self, tokens: Tensor) -> Tensor:
        """Merge what belongs to the tokens of the step, ``[N, ...]`` to ``[n, ...]``."""
        if self.weights is None:
            return tokens[self.places.to(tokens.device)]
        flat = tokens.flatten(1)
        mixed = self.weights.to(flat.device) @ flat.float()
        return mixed.to(tokens.dtype).view(-1, *tokens.shape[1:])


class EncodedSteps(Protocol):
    """The tokens of a video, step by step."""

    @property
    def tokens(self) -> Tensor:
        """The tokens, ``[S, N, H]``."""

    @property
    def pts_seconds(self) -> Tensor:
        """Time of each step, ``[S]``."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the tokens of a step."""

    @property
    def num_front(self) -> int:
        """Tokens of a step before its grid, such as a class token."""

    def take(self, rows: Tensor) -> Self:
        """Keep some steps, given by increasing rows ``[S']``."""

    def merged(self, merge: Callable[[Tensor], Tensor]) -> Self:
        """Merge tokens, and all that belongs to them, ``[S, N, ...]``."""


Video = TypeVar("Video", bound=EncodedSteps)


def num_steps_read(selector: Selector, budget: HostBudget, num_steps: int) -> int:
    """Count the steps of a video that are encoded, evenly, before anything is chosen.

    Args:
        selector: What will choose.
        budget: The budget.
        num_steps: Steps of the video.

    Raises:
        ValueError: The selector keeps whole steps, and not one of them fits.
    """
    if selector.rest == "whole":
        return num_steps
    if selector.rest == "pruned":
        return num_steps if budget.num_whole_steps else 0
    if selector.rest == "small":
        return budget.num_steps(num_steps)
    fitting = min(num_steps, budget.num_whole_steps)
    return fitting if selector.is_even else num_steps


def spend(
    selector: Selector,
    budget: HostBudget,
    video: Video,
    similarity: QuestionSimilarity | None,
    question: str = "",
) -> tuple[Video, list[KeptStep]]:
    """Choose steps of a video, and tokens of each of them, within a budget.

    A selector that prunes keeps so many tokens. One that drops frames chooses as many as
    fit whole; a smaller scale gives a step so much fewer tokens. One that keeps the rest
    small chooses the Cones, and the budget says how many tokens a Cone and a Rod have. Of
    more steps than may have tokens at all, the question keeps the best of each of as many
    equal stretches; without a scorer the even ones stay.

    Args:
        selector: What chooses.
        budget: The budget.
        video: All encoded steps.
        similarity: What a scorer makes of them.
        question: The question, for rules that draw at random.

    Returns:
        The steps that are kept, and what is kept of each.
    """
    if selector.keep is not None:
        return _prune(selector.keep, budget, video, similarity)
    count = len(video.tokens)
    if selector.rest == "small":
        rows = _rows_that_fit(budget.num_steps(count), count, similarity)
        video, similarity = video.take(rows), similarity and similarity.take(rows)
        count = sum(share > NUM_ROD_TOKENS for share in budget.share(len(rows)))
    elif selector.rest == "dropped":
        count = budget.num_whole_steps
    chosen = selector(_as_input(video, similarity, question), max(1, count))
    chosen = _within(selector, budget, chosen)
    in_time = np.argsort(chosen.indices)
    rows = torch.from_numpy(chosen.indices[in_time])
    shares = np.array(_shares(selector, budget, chosen))[in_time].tolist()
    video, similarity = video.take(rows), similarity and similarity.take(rows)
    merged = merge_steps(video, shares, similarity)
    ratings: list[float | None] = [None] * len(rows)
    if similarity is not None and similarity.is_absolute:
        ratings = similarity.whole.tolist()
    kept = [
        KeptStep(
            kind="cone" if share > NUM_ROD_TOKENS else "rod",
            score=score,
            places=places,
            weights=weights,
            rating=rating,
        )
        for share, score, rating, (places, weights) in zip(
            shares, chosen.importance[in_time].tolist(), ratings, merged, strict=True
        )
    ]
    return video, kept


def _prune(
    keep: Pruner,
    budget: HostBudget,
    video: Video,
    similarity: QuestionSimilarity | None,
) -> tuple[Video, list[KeptStep]]:
    """Keep so many tokens; steps of which none is kept are left out."""
    num_steps, each = video.tokens.shape[:2]
    total = min(budget.num_for_steps, num_steps * each)
    pruned = Pruned(mask=torch.ones(num_steps, each, dtype=torch.bool))
    if total < num_steps * each:
        relevance = None if similarity is None else similarity.tokens
        pruned = keep(PrunerInput(tokens=video.tokens, relevance=relevance), total)
    mask = pruned.mask.cpu()
    if mask.shape != (num_steps, each) or int(mask.sum()) != total:
        raise ValueError(
            f"a rule that prunes must keep {total} of the tokens, got {int(mask.sum())} in "
            f"a mask of {list(mask.shape)}; correct it"
        )
    if pruned.merge is not None:
        video = video.merged(pruned.merge)
    rows = mask.any(1).nonzero()[:, 0]
    kept = [
        KeptStep(
            kind="cone" if len(places) > NUM_ROD_TOKENS else "rod",
            score=len(places) / each,
            places=places,
        )
        for places in (row.nonzero()[:, 0] for row in mask[rows])
    ]
    return video.take(rows), kept


def _as_input(
    video: EncodedSteps, similarity: QuestionSimilarity | None, question: str
) -> SelectorInput:
    compare = describe = None
    if similarity is not None:
        compare = similarity.whole.double().cpu().numpy().__getitem__
        if similarity.vectors is not None:
            describe = similarity.vectors.double().cpu().numpy().__getitem__
    return SelectorInput(
        times=video.pts_seconds.double().cpu().numpy(),
        features=pool_steps(video),
        compare=compare,
        describe=describe,
        question=question,
    )


def pool_steps(video: EncodedSteps) -> Tensor:
    """Average the tokens of each step over a coarse grid, shape ``[S, P H]``."""
    rows, columns = video.grid
    width = video.tokens.shape[2]
    grid = video.tokens[:, video.num_front :].reshape(-1, rows, columns, width)
    target = min(rows, _POOLED_SIDE), min(columns, _POOLED_SIDE)
    parts = [
        F.adaptive_avg_pool2d(part.movedim(3, 1).float(), target)
        for part in torch.split(grid, _WINDOW)
    ]
    return torch.cat(parts).flatten(1)


def _rows_that_fit(
    num_kept: int, num_steps: int, similarity: QuestionSimilarity | None
) -> Tensor:
    """Leave steps out: the best of each stretch stays, or the middle; ``[S']``."""
    if similarity is None:
        return uniform_indices(num_steps, num_kept)
    edges = [i * num_steps // num_kept for i in range(num_kept + 1)]
    stretches = similarity.whole.cpu().tensor_split(edges[1:-1])
    best = [int(stretch.argmax()) for stretch in stretches]
    return torch.tensor(edges[:-1]) + torch.tensor(best)


def _shares(selector: Selector, budget: HostBudget, chosen: Selection) -> list[int]:
    """Count the tokens of each chosen step, in the order of choice."""
    if selector.rest == "small":
        return budget.share(len(chosen.indices))
    whole = budget.tokens_per_step
    least = min(NUM_ROD_TOKENS, whole)
    return [max(least, int(whole * scale**2)) for scale in chosen.scale.tolist()]


def _within(selector: Selector, budget: HostBudget, chosen: Selection) -> Selection:
    """Leave out the last of small steps whose least tokens are more than their area."""
    if selector.counts == "frames":
        return chosen
    total = np.cumsum(_shares(selector, budget, chosen))
    fitting = int((total <= budget.num_for_steps).sum())
    return Selection(
        indices=chosen.indices[:fitting],
        scale=chosen.scale[:fitting],
        importance=chosen.importance[:fitting],
    )


def merge_steps(
    video: EncodedSteps, shares: Sequence[int], similarity: QuestionSimilarity | None
) -> list[tuple[Tensor, Tensor | None]]:
    """Make each step's tokens as few as its share.

    Args:
        video: The steps.
        shares: How many tokens each of them keeps, ``S`` of them.
        similarity: What a scorer makes of the steps.

    Returns:
        Places and weights of the tokens that are kept of each step, as in `KeptStep`.
    """
    num_tokens = video.tokens.shape[1]
    rows, columns = video.grid
    middle = video.num_front + (rows // 2) * columns + columns // 2
    whole = (torch.arange(num_tokens), None)
    attended = None if similarity is None else similarity.attention
    kept: list[tuple[Tensor, Tensor | None]] = [whole] * len(shares)
    for share in sorted(set(shares) - {num_tokens}):
        same = torch.tensor([step for step, own in enumerate(shares) if own == share])
        for steps in torch.split(same, _WINDOW):
            tokens = video.tokens[steps.to(video.tokens.device)]
            if share > NUM_ROD_TOKENS:
                places, weights = cluster_tokens(tokens, share)
            else:
                attention = None if attended is None else attended[steps]
                places, weights = sketch_tokens(tokens, middle, attention)
            for step, *merged in zip(steps.tolist(), places, weights, strict=True):
                kept[step] = (merged[0], merged[1])
    return kept


def cluster_tokens(tokens: Tensor, num_kept: int) -> tuple[Tensor, Tensor]:
    """Cluster the tokens of each step: S-DPC (Eq. 1, 4, 5).

    Args:
        tokens: Shape ``[B, N, H]``.
        num_kept: Clusters of a step, ``n``.

    Returns:
        The centre of each cluster, ``[B, n]``, and weights by importance, ``[B, n, N]``.
    """
    clusters = dpc_knn(standardized(tokens), num_kept, NUM_NEIGHBORS).in_point_order()
    return clusters.centers.cpu(), merge_weights(clusters, "importance")


def sketch_tokens(
    tokens: Tensor, middle: int, attention: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Make the two tokens of each Rod: the mean, and the mean attended by the question.

    Without a scorer the second is weighted by the tokens' own importance. The mean stands
    at the middle of the grid, the other where its largest weight is.

    Args:
        tokens: Shape ``[B, N, H]``.
        middle: Place of the middle.
        attention: Weight of each token for the question, ``[B, N]``.

    Returns:
        Their places, ``[B, 2]``, and weights, ``[B, 2, N]``.
    """
    mean = torch.full_like(tokens[..., 0], 1 / tokens.shape[1], dtype=torch.float32)
    if attention is None:
        importance = dpc_knn(standardized(tokens), 1, NUM_NEIGHBORS).score.float()
        total = importance.sum(1, keepdim=True)
        attention = torch.where(total > 0, importance / total.clamp(min=1e-30), mean)
    attention = attention.to(mean)
    peak = attention.argmax(1).cpu()
    places = torch.stack([torch.full_like(peak, middle), peak], dim=1)
    order = places.sort(dim=1, stable=True)
    weights = torch.stack([mean, attention], dim=1)
    index = order.indices.to(weights.device)[..., None].expand_as(weights)
    return order.values, weights.gather(1, index)
