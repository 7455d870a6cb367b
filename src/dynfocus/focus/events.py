"""Dynamic event prototype estimation: DPE (Eq. 1-9).

Letters beyond the shared ones: ``P`` event tokens of a frame, ``L`` prototypes,
``K`` kept prototypes, ``n`` text tokens, ``Dq`` width of the text features.
"""

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus.clustering import merge_clusters
from dynfocus.focus.official import channel_max, cluster_points
from dynfocus.focus.scoring import QuestionContext, at_least_single, build_score_network
from dynfocus.focus.settings import FocusSettings
from dynfocus.focus.topk import perturbed_topk


@dataclass(frozen=True)
class TimePrototypes:
    """The event prototypes of a batch of videos, in time order."""

    features: Tensor
    """Merged event tokens, shape ``[B, L, P, D]``, 0 in padding; ``m_l``."""
    frames: Tensor
    """Centre frame of each prototype, ``[B, L]``, increasing, then -1."""
    mask: Tensor
    """True where there is a prototype, shape ``[B, L]``."""
    assignment: Tensor
    """Prototype of each frame, shape ``[B, T]``, -1 at padded frames."""

    def at_centers(self, values: Tensor) -> Tensor:
        """Gather per-frame values ``[B, T, ...]`` at the centres: ``[B, L, ...]``."""
        rows = torch.arange(self.frames.shape[0], device=self.frames.device)
        return values[rows[:, None], self.frames.clamp(min=0)]

    def best_frames(self, ratings: Tensor) -> tuple[Tensor, Tensor]:
        """Find the frame of each prototype that is rated highest.

        Args:
            ratings: Rating of each frame, shape ``[B, T]``.

        Returns:
            That frame, ``[B, L]``, -1 in padding, and its rating, ``[B, L]``, 0 there.
        """
        slots = torch.arange(self.mask.shape[1], device=self.mask.device)
        is_own = self.assignment[:, None] == slots[:, None]  # [B, L, T]
        best = ratings[:, None].masked_fill(~is_own, -torch.inf).max(2)
        return best.indices.where(self.mask, -1), best.values.where(self.mask, 0)


@dataclass(frozen=True)
class EventSelection:
    """The prototypes kept for a question, in time order."""

    scores: Tensor
    """Score of each prototype in [0, 1], shape ``[B, L]``, 0 in padding."""
    frames: Tensor
    """Frame of each kept prototype, ``[B, K]``, increasing, then -1."""
    events: Tensor
    """Event tokens of each kept prototype, ``[B, K, P, D]``; ``h_k``."""
    cone_mask: Tensor
    """True at the frames that become Cones, shape ``[B, T]``; ``b_t``."""
    mask: Tensor
    """True where there is a kept prototype, shape ``[B, K]``."""
    frame_scores: Tensor
    """Score of the prototype of each frame, ``[B, T]``, 0 at padded frames."""


class EventPrototypes(nn.Module):
    r"""Find the events of a video and keep those that matter: DPE (Eq. 1-9).

    .. math::
        f_t &= \mathrm{Pool}(v_t) \in \mathbb R^{P \times D} \\
        m_l &= \textstyle\sum_{t \in \mathcal C_l} w_t f_t \big/ \sum w_t
            \quad \text{(T-DPC, Eq. 1, 4, 5)} \\
        s_l &= \mathcal U(\mathrm{Max}(m_l) \,\Vert\, \mathrm{Avg}(m_l))
            \quad \text{(Eq. 6)}, \qquad
        \hat s = \frac{s - \min s}{\max s - \min s} \\
        h &= P^\top m, \quad P = \mathrm{onehot}(\mathrm{sort}(\mathrm{topK}(\hat s)))
            \quad \text{(Eq. 7; in training Eq. 8 with the gradient of Eq. 9)}

    Symbols: ``v_t`` is ``patches``, ``f_t`` is ``pooled``, ``m_l`` is
    ``TimePrototypes.features``, ``U`` is ``score_network``, ``s`` is
    ``EventSelection.scores``, ``h_k`` is ``EventSelection.events``, ``b_t`` is
    ``EventSelection.cone_mask``, ``L`` is ``num_prototypes``, ``K / L`` is
    ``selection_ratio``.

    Differs from the paper:
        A video of at most ``L`` frames is not clustered: each frame is its own
        prototype. Prototypes are put into time order, so that the sorted top-k is
        in time order as well. Scores that are all equal become 0, and then the
        first prototypes are kept. With ``use_question_scores`` the
        network also reads the question, see ``QuestionContext``. With
        ``use_best_frames`` the frame of an event that fits the question best
        stands for it in place of the centre, and its rating is added to the score.

    Differs from the published code:
        The frame of slot k is always the k-th frame of the noise-free top-k; the
        code takes the largest entry of the soft row, which can name one frame
        twice and shifts all later tokens. In training only ``events`` are soft.
    """

    def __init__(self, settings: FocusSettings, dim: int, text_dim: int) -> None:
        super().__init__()
        self.settings = settings
        use_question = settings.extensions.use_question_scores
        num_inputs = (4 if use_question else 2) * dim
        self.score_network = build_score_network(settings, num_inputs, dim)
        self.question_context = QuestionContext(dim, text_dim) if use_question else None

    def pool(self, patches: Tensor) -> Tensor:
        """Average the patches of a frame over a coarse grid.

        Args:
            patches: Patch features on a square grid, shape ``[F, N, D]``.

        Returns:
            Event tokens of each frame, shape ``[F, P, D]``.
        """
        side = math.isqrt(patches.shape[1])
        if side * side != patches.shape[1]:
            raise ValueError(
                "patches must form a square grid, got "
                f"{patches.shape[1]} of them; drop the class token and crop to a square"
            )
        target = math.isqrt(self.settings.num_event_tokens)
        grid = rearrange(patches, "f (h w) d -> f d h w", h=side)
        return rearrange(F.adaptive_avg_pool2d(grid, target), "f d h w -> f (h w) d")

    def estimate(self, pooled: Tensor, mask: Tensor) -> TimePrototypes:
        """Cluster frames into event prototypes: T-DPC (Eq. 1, 4, 5).

        Needs no question and has no parameters; gradients reach ``pooled`` through
        the merge.

        Args:
            pooled: Event tokens of each frame, shape ``[B, T, P, D]``.
            mask: True at real frames, shape ``[B, T]``.
        """
        settings = self.settings
        num_frames = mask.sum(1)
        num_prototypes = settings.num_prototypes_for(mask.shape[1])
        points = rearrange(pooled, "b t p d -> b t (p d)")
        clusters = cluster_points(
            points,
            num_prototypes,
            settings.num_temporal_neighbors,
            settings.temporal_clustering,
            mask,
        ).in_point_order()
        merged = merge_clusters(points, clusters, settings.event_merge)
        frames = clusters.centers
        present = frames >= 0
        features = rearrange(merged, "b l (p d) -> b l p d", p=pooled.shape[2])
        assert torch.equal(present.sum(1), num_frames.clamp(max=num_prototypes))
        return TimePrototypes(features, frames, present, clusters.assignment)

    def score(
        self,
        prototypes: TimePrototypes,
        spatial: Tensor | None = None,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
        relevance: Tensor | None = None,
    ) -> Tensor:
        """Score prototypes from 0 to 1 (Eq. 6 and the min-max after it).

        The arguments are those of `rate`.

        Returns:
            Scores, shape ``[B, L]``, 0 in padding.
        """
        mask = prototypes.mask
        raw = self.rate(prototypes, spatial, text, text_mask, relevance)
        low = raw.masked_fill(~mask, torch.inf).amin(1, keepdim=True)
        high = raw.masked_fill(~mask, -torch.inf).amax(1, keepdim=True)
        if self.settings.score_network == "global":
            scale = high - low + 1e-5  # as in the published code
        else:
            scale = (high - low).clamp(min=1e-5)
        return ((raw - low) / scale).masked_fill(~mask, 0)

    def rate(
        self,
        prototypes: TimePrototypes,
        spatial: Tensor | None = None,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
        relevance: Tensor | None = None,
    ) -> Tensor:
        """Give each prototype its raw score (Eq. 6).

        Args:
            prototypes: The prototypes of each video.
            spatial: Spatial prototypes of the centre frames, ``[B, L, M, D]``.
            text: Text features of the question, ``[B, n, Dq]``.
            text_mask: True at real text tokens, ``[B, n]``.
            relevance: What is added, the rating of the best frame of each, ``[B, L]``.

        Returns:
            Raw scores, shape ``[B, L]``, without meaning in padding.
        """
        events = prototypes.features
        inputs = [_pool_tokens(events, self.settings.score_pooling)]
        if self.question_context is not None:
            inputs.append(self.question_context(events, spatial, text, text_mask))
        summaries = torch.cat(inputs, dim=2)
        raw = at_least_single(self.score_network(summaries, prototypes.mask))
        return raw if relevance is None else raw + relevance

    def forward(
        self,
        prototypes: TimePrototypes,
        *,
        num_frames: Tensor,
        spatial: Tensor | None = None,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
        ratings: Tensor | None = None,
        max_cones: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> EventSelection:
        """Keep the best-scored prototypes of each video (Eq. 6-9).

        Args:
            prototypes: The prototypes of each video.
            num_frames: Frames of each video, shape ``[B]``.
            spatial: Spatial prototypes of the centre frames, ``[B, L, M, D]``.
            text: Text features of the question, ``[B, n, Dq]``.
            text_mask: True at real text tokens, ``[B, n]``.
            ratings: How well each frame fits the question, ``[B, T]``, for
                ``use_best_frames``.
            max_cones: Upper limit on the Cones of each video, shape ``[B]``.
            generator: Source of the noise in training.
        """
        event_frames, relevance = self.frames_of(prototypes, ratings)
        scores = self.score(prototypes, spatial, text, text_mask, relevance)
        num_cones = self._count_cones(num_frames, max_cones)
        slots, kept = _best_slots(scores.detach(), prototypes.mask, num_cones)
        rows = torch.arange(slots.shape[0], device=slots.device)[:, None]
        frames = event_frames[rows, slots].where(kept, -1)
        if self.training:
            events = self._mix(prototypes, scores, num_frames, num_cones, generator)
        else:
            events = prototypes.features[rows, slots] * kept[..., None, None]
        assignment = prototypes.assignment
        num_slots = assignment.shape[1]
        if relevance is not None:  # best frames need not be in the order of centres
            by_time = frames.where(kept, num_slots).argsort(dim=1)
            frames, events = frames.gather(1, by_time), events[rows, by_time]
        cone_mask = F.pad(torch.zeros_like(assignment, dtype=torch.bool), (0, 1))
        cone_mask = cone_mask.scatter(1, frames.where(kept, num_slots), True)
        frame_scores = scores.gather(1, assignment.clamp(min=0))
        return EventSelection(
            scores=scores,
            frames=frames,
            events=events,
            cone_mask=cone_mask[:, :num_slots],
            mask=kept,
            frame_scores=frame_scores.masked_fill(assignment < 0, 0),
        )

    def frames_of(
        self, prototypes: TimePrototypes, ratings: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Choose the frame that stands for each prototype, as ``use_best_frames`` says.

        Args:
            prototypes: The prototypes of each video.
            ratings: How well each frame fits the question, shape ``[B, T]``.

        Returns:
            Frames, shape ``[B, L]``, -1 in padding, and what their relevance adds to
            the scores, ``[B, L]``, or None.
        """
        if not self.settings.extensions.use_best_frames:
            return prototypes.frames, None
        if ratings is None:
            raise ValueError(
                "ratings must be given for use_best_frames, got None; rate the frames "
                "(RelevanceEncoding.rate) or switch it off"
            )
        return prototypes.best_frames(ratings)

    def _count_cones(self, num_frames: Tensor, max_cones: Tensor | None) -> list[int]:
        counts = [self.settings.num_cones_for(count) for count in num_frames.tolist()]
        if max_cones is None:
            return counts
        limits = max_cones.tolist()
        if min(limits) < 1:
            raise ValueError(
                f"max_cones must be at least 1, got {min(limits)}; "
                "leave it out for no limit of its own"
            )
        return [min(pair) for pair in zip(counts, limits, strict=True)]

    def _mix(
        self,
        prototypes: TimePrototypes,
        scores: Tensor,
        num_frames: Tensor,
        num_cones: list[int],
        generator: torch.Generator | None,
    ) -> Tensor:
        """Mix prototypes by the perturbed top-k, videos of one (L, K) together."""
        settings = self.settings
        features = prototypes.features
        groups: dict[tuple[int, int], list[int]] = {}
        for entry, count in enumerate(num_frames.tolist()):
            key = (settings.num_prototypes_for(count), num_cones[entry])
            groups.setdefault(key, []).append(entry)
        indicator = scores.new_zeros(len(num_cones), max(num_cones), scores.shape[1])
        for (num_prototypes, k), entries in groups.items():
            index = torch.tensor(entries, device=scores.device)
            rows = perturbed_topk(
                scores[index, :num_prototypes],
                k,
                settings.num_noise_samples,
                settings.noise_sigma,
                generator,
                settings.topk_gradient,
            )
            spare = (indicator.shape[1] - k, indicator.shape[2] - num_prototypes)
            rows = F.pad(rows, (0, spare[1], 0, spare[0]))
            indicator = indicator.index_copy(0, index, rows)
        with torch.autocast(features.device.type, enabled=False):
            mixed = torch.einsum(
                "bkl,blpd->bkpd", indicator, features.to(indicator.dtype)
            )
        return mixed.to(features.dtype)


def _pool_tokens(events: Tensor, pooling: str) -> Tensor:
    """Summarise the tokens of each prototype, ``[B, L, P, D]`` to ``[B, L, 2 D]``."""
    if pooling == "channel_max":
        return channel_max(events)
    average = events.mean(2)
    largest = events.detach().float().norm(dim=3).argmax(2)  # [B, L]
    index = largest[:, :, None, None].expand(-1, -1, 1, events.shape[3])
    return torch.cat([events.gather(2, index).squeeze(2), average], dim=2)


def _best_slots(
    scores: Tensor, mask: Tensor, num_cones: list[int]
) -> tuple[Tensor, Tensor]:
    """Return the slots of the best-scored prototypes in order, and their mask.

    The hard top-k of Eq. 7 for videos that keep different numbers; slots beyond
    those are 0 and masked, shapes ``[B, K]``.
    """
    count = torch.tensor(num_cones, device=scores.device)[:, None]
    by_score = scores.masked_fill(~mask, -torch.inf)
    order = by_score.sort(dim=1, descending=True, stable=True).indices
    rank = order.argsort(dim=1)
    num_prototypes = scores.shape[1]
    index = torch.arange(num_prototypes, device=scores.device)
    slots = index.where(rank < count, num_prototypes).sort(dim=1).values
    slots = slots[:, : max(num_cones)]
    kept = slots < num_prototypes
    return slots.where(kept, 0), kept
