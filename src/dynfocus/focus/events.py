"""Dynamic event prototype estimation: DPE (Eq. 5-9).

Letters beyond the shared ones: ``P`` event tokens of a frame, ``L`` prototypes,
``K`` kept prototypes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus._points import at_least_single, average_grid
from dynfocus.focus.clustering import MergeWeight, merge_clusters
from dynfocus.focus.official import Clustering, GlobalScoreNetwork, cluster_points
from dynfocus.focus.topk import TopkGradient, hard_topk, perturbed_topk


@dataclass(frozen=True)
class EventBatch:
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
        rows = torch.arange(len(self.frames), device=self.frames.device)
        return values[rows[:, None], self.frames.clamp(min=0)]

    def within(self, among: Tensor) -> "EventBatch":
        """Give prototypes of some frames of one video as those of all its frames.

        Args:
            among: True at these frames, shape ``[T]``; the others are of no prototype.
        """
        assignment = torch.full_like(among, -1, dtype=self.assignment.dtype)
        assignment[among] = self.assignment[0]
        frames = among.nonzero()[:, 0][self.frames]
        return replace(self, frames=frames, assignment=assignment[None])


@dataclass(frozen=True)
class EventSelection:
    """The prototypes kept of each video, in time order."""

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


class ScoreNetwork(nn.Module):
    """Score each prototype by itself: ``U`` of Eq. 6 and what it reads.

    Args:
        dim: Width of the event tokens, ``D``.
        num_context: Channels of the context that is read besides.
    """

    def __init__(self, dim: int, num_context: int = 0) -> None:
        super().__init__()
        half = max(1, dim // 2)
        self.layers = nn.Sequential(
            nn.Linear(2 * dim + num_context, dim),
            nn.GELU(),
            nn.Linear(dim, half),
            nn.GELU(),
            nn.Linear(half, 1),
        )

    def forward(self, events: EventBatch, context: Tensor | None = None) -> Tensor:
        """Give raw scores, shape ``[B, L]``; see `EventPrototypes.score`."""
        tokens = events.features
        largest = tokens.detach().float().norm(dim=3).argmax(2)  # [B, L]
        index = largest[:, :, None, None].expand(-1, -1, 1, tokens.shape[3])
        summaries = [tokens.gather(2, index).squeeze(2), tokens.mean(2)]
        if context is not None:
            summaries.append(context)
        return self.layers(torch.cat(summaries, dim=2)).squeeze(2)


class EventPrototypes(nn.Module):
    r"""Find the events of a video and keep those that matter: DPE (Eq. 5-9).

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
    ``EventBatch.features``, ``U`` is ``score_network``, ``s`` is what `score` gives,
    ``h_k`` is ``EventSelection.events``, ``b_t`` is ``EventSelection.cone_mask``.

    Differs from the paper:
        A video of at most ``L`` frames is not clustered: each frame is its own
        prototype. Prototypes are put into time order, so that the sorted top-k is
        in time order as well. Scores that are all equal become 0, and then the
        first prototypes are kept.

    Differs from the published code:
        The frame of slot k is always the k-th frame of the noise-free top-k; the
        code takes the largest entry of the soft row, which can name one frame
        twice and shifts all later tokens. In training only ``events`` are soft.

    Args:
        dim: Width of the patches, ``D``.
        num_event_tokens: Tokens of a pooled frame, a square number; ``P``.
        num_prototypes: Prototypes of a video with at least as many frames; ``L``.
        num_neighbors: Neighbours of a frame in its density.
        clustering: ``dpc``, or as ``official.cluster_points`` says.
        merge: Weights of the frames merged into a prototype (Eq. 5).
        score_network: ``mlp`` (Eq. 6) or, as in the published code, ``global``.
        num_context: Channels of the ``context`` that `score` reads besides.
        num_samples: Samples of the perturbed top-k; ``n`` of Eq. 8.
        sigma: Their scale (Eq. 8).
        gradient: ``exact`` (Eq. 9) or, as in the published code, ``diagonal``.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_event_tokens: int = 16,
        num_prototypes: int = 25,
        num_neighbors: int = 5,
        clustering: Clustering = "dpc",
        merge: MergeWeight = "importance",
        score_network: str = "mlp",
        num_context: int = 0,
        num_samples: int = 500,
        sigma: float = 0.1,
        gradient: TopkGradient = "exact",
    ) -> None:
        super().__init__()
        self.num_event_tokens, self.num_prototypes = num_event_tokens, num_prototypes
        self.num_neighbors, self.clustering = num_neighbors, clustering
        self.merge, self.num_samples = merge, num_samples
        self.sigma, self.gradient = sigma, gradient
        kinds = {"mlp": ScoreNetwork, "global": GlobalScoreNetwork}
        self.score_network = kinds[score_network](dim, num_context)

    def pool(self, patches: Tensor) -> Tensor:
        """Average the patches of a frame over a coarse grid.

        Args:
            patches: Patch features on a square grid, shape ``[F, N, D]``.

        Returns:
            Event tokens of each frame, shape ``[F, P, D]``.
        """
        return average_grid(patches, math.isqrt(self.num_event_tokens))

    def estimate(self, pooled: Tensor, mask: Tensor) -> EventBatch:
        """Cluster frames into event prototypes: T-DPC (Eq. 1, 4, 5).

        Has no parameters; gradients reach ``pooled`` through the merge.

        Args:
            pooled: Event tokens of each frame, shape ``[B, T, P, D]``.
            mask: True at real frames, shape ``[B, T]``.
        """
        points = rearrange(pooled, "b t p d -> b t (p d)")
        clusters = cluster_points(
            points,
            min(mask.shape[1], self.num_prototypes),
            self.num_neighbors,
            self.clustering,
            mask,
        ).in_point_order()
        merged = merge_clusters(points, clusters, self.merge)
        features = rearrange(merged, "b l (p d) -> b l p d", p=pooled.shape[2])
        centers = clusters.centers
        return EventBatch(features, centers, centers >= 0, clusters.assignment)

    def score(self, events: EventBatch, context: Tensor | None = None) -> Tensor:
        """Give each prototype its raw score (Eq. 6).

        Args:
            events: The prototypes of each video.
            context: Channels beyond the paper's two, ``[B, L, num_context]``.

        Returns:
            Raw scores, shape ``[B, L]``, without meaning in padding.
        """
        return at_least_single(self.score_network(events, context))

    def select(
        self,
        events: EventBatch,
        scores: Tensor,
        num_cones: Sequence[int],
        *,
        frames: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> EventSelection:
        """Keep the best-scored prototypes of each video (Eq. 7-9).

        Args:
            events: The prototypes of each video.
            scores: Their raw scores, shape ``[B, L]``.
            num_cones: Prototypes to keep of each video, ``B`` numbers; ``K``.
            frames: The frame that stands for each prototype, ``[B, L]``, in place of
                the centre of its cluster.
            generator: Source of the noise in training.
        """
        scores = self._scale(scores, events.mask)
        slots = hard_topk(scores, num_cones, events.mask)
        kept, slots = slots >= 0, slots.clamp(min=0)
        rows = torch.arange(len(slots), device=slots.device)[:, None]
        standing = events.frames if frames is None else frames
        chosen = standing.gather(1, slots).where(kept, -1)
        if self.training:
            mixed = self._mix(events, scores, num_cones, generator)
        else:
            mixed = events.features[rows, slots] * kept[..., None, None]
        num_frames = events.assignment.shape[1]
        if frames is not None:  # these need not be in the order of centres
            by_time = chosen.where(kept, num_frames).argsort(dim=1)
            chosen, mixed = chosen.gather(1, by_time), mixed[rows, by_time]
        is_cone = F.pad(torch.zeros_like(events.assignment, dtype=torch.bool), (0, 1))
        is_cone = is_cone.scatter(1, chosen.where(kept, num_frames), True)
        frame_scores = scores.gather(1, events.assignment.clamp(min=0))
        return EventSelection(
            scores=scores,
            frames=chosen,
            events=mixed,
            cone_mask=is_cone[:, :num_frames],
            mask=kept,
            frame_scores=frame_scores.masked_fill(events.assignment < 0, 0),
        )

    def _scale(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Scale the scores of each video from 0 to 1; padding is 0."""
        low = scores.masked_fill(~mask, torch.inf).amin(1, keepdim=True)
        high = scores.masked_fill(~mask, -torch.inf).amax(1, keepdim=True)
        scale = (high - low).clamp(min=1e-5)
        if isinstance(self.score_network, GlobalScoreNetwork):  # the published code
            scale = high - low + 1e-5
        return ((scores - low) / scale).masked_fill(~mask, 0)

    def _mix(
        self,
        events: EventBatch,
        scores: Tensor,
        num_cones: Sequence[int],
        generator: torch.Generator | None,
    ) -> Tensor:
        """Mix the prototypes of each video by the perturbed top-k (Eq. 8)."""
        rows = []
        for entry, count in enumerate(events.mask.sum(1).tolist()):
            row = perturbed_topk(
                scores[entry : entry + 1, :count],
                num_cones[entry],
                self.num_samples,
                self.sigma,
                generator,
                self.gradient,
            )
            spare = (scores.shape[1] - count, max(num_cones) - num_cones[entry])
            rows.append(F.pad(row, (0, spare[0], 0, spare[1])))
        soft, features = torch.cat(rows), events.features
        with torch.autocast(features.device.type, enabled=False):
            mixed = torch.einsum("bkl,blpd->bkpd", soft, features.to(soft.dtype))
        return mixed.to(features.dtype)
