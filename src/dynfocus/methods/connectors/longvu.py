"""LongVU: leave out frames alike, then mix resolutions, then drop tokens alike.

Shen et al., 2024. Letters beyond the shared ones: ``L`` the most tokens, ``n`` text
tokens, ``H`` width of the language model, ``W`` frames of a window, ``k`` tokens of a
frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus import VideoFeatures, VideoTokens, uniform_indices
from dynfocus.focus.cooperative import text_weights
from dynfocus.methods.connectors.blocks import WINDOW, part_of_side, pool_grid
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    build_projector,
    network_tokens,
)

_PRUNED_WINDOW, _CHUNK, _MAX_FRAMES = 16, 8, 400


def prune_frames(patches: Tensor, threshold: float) -> Tensor:
    """Choose the frames that are unlike the others of their window of 16.

    A frame stays where its mean cosine to all frames of the window, itself among them, is
    below the threshold; the middle one always does. Of more than 400 some are taken,
    evenly.

    Args:
        patches: Patches of all frames, ``[T, N, D]``.
        threshold: Mean cosine from which a frame is left out.

    Returns:
        Increasing frame indices.
    """
    kept = []
    for window in torch.split(patches, _PRUNED_WINDOW):
        frames = F.normalize(window.flatten(1), dim=1)
        alike = frames @ frames.mean(0)  # the mean over all cosines
        alike[len(alike) // 2] = 0
        kept.append(alike < threshold)
    found = torch.cat(kept).nonzero()[:, 0]
    if len(found) > _MAX_FRAMES:
        found = found[uniform_indices(len(found), _MAX_FRAMES, found.device)]
    return found


def keep_changes(tokens: Tensor, threshold: float) -> Tensor:
    """Keep of each chunk of eight frames the first, and of others what changed since.

    Args:
        tokens: Tokens of all frames, ``[T, k, H]``.
        threshold: Cosine to the same place of the chunk's first frame from which a token
            is dropped.

    Returns:
        True at tokens that stay, ``[T, k]``.
    """
    kept = []
    for chunk in torch.split(tokens, _CHUNK):
        keeps = F.cosine_similarity(chunk, chunk[:1], dim=2) < threshold
        keeps[0] = True
        kept.append(keeps)
    return torch.cat(kept)


def cut_tails(keeps: Tensor, chunks: Tensor, most: int) -> Tensor:
    """Cut as many tokens from the end of each chunk, then the end, to what is allowed.

    Args:
        keeps: True at tokens that stay so far, ``[S]``.
        chunks: Number of the chunk of each token, ``[S]``, never falling.
        most: Tokens that may stay.

    Returns:
        True at tokens that stay, ``[S]``.
    """
    places = keeps.nonzero()[:, 0]
    excess = len(places) - most
    if excess > 0:
        _, own, sizes = torch.unique_consecutive(
            chunks[places], return_inverse=True, return_counts=True
        )
        rank = (
            torch.arange(len(places), device=own.device)
            - (sizes.cumsum(0) - sizes)[own]
        )
        stays = rank < sizes[own] + (-excess // len(sizes))
        places = places[stays][:most]
    cut = torch.zeros_like(keeps)
    cut[places] = True
    return cut


class LongVU(nn.Module):
    r"""Keep as much of a video as fits ``L`` tokens.

    1. Of ``L / 64`` frames or more those stay that are unlike their window.
    2. If 144 tokens of each fit, all have them. If not even 64 do, all have 64. Otherwise
       ``H = floor((L - 64 T) / 80)`` have 144: those whose 64 have the largest mean dot
       product with the question.
    3. Where 64 of each do not fit, chunks of eight keep what changed since their first.

    Differs from the original:
        A model has one tower here, whose patches stand in for DINO's in 1, and pooling
        in place of the spatial vision aggregator. The question are its text features,
        projected, not the language model's embeddings. ``L`` does not depend on the
        length of the text. The published scripts have other thresholds for each
        benchmark; here are those of training.

    Args:
        sizes: What it connects; patches stand on a square grid, 24 x 24 for 144 and 64.
        max_tokens: The most tokens, ``L``.
        frame_threshold: Cosine of a frame that is left out.
        token_threshold: Cosine of a token that is dropped.
        budget_of: Settings of a dynamic cooperative network, whose tokens for as many
            frames, but those of a fine frame at least, stand in place of ``max_tokens``.
    """

    varies = True

    def __init__(
        self,
        sizes: ConnectorSizes,
        max_tokens: int = 8176,
        frame_threshold: float = 0.83,
        token_threshold: float = 0.8,
        budget_of: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.fine_side = part_of_side(sizes.num_patches, 2)
        self.coarse_side = part_of_side(sizes.num_patches, 3)
        if max_tokens < self.fine_side**2:
            raise ValueError(
                f"max_tokens must be at least {self.fine_side**2}, the tokens of one "
                f"frame, got {max_tokens}"
            )
        self.max_tokens = max_tokens
        self.budget = None if budget_of is None else network_tokens(budget_of)
        self.frame_threshold = frame_threshold
        self.token_threshold = token_threshold
        self.projector = build_projector(sizes.dim, sizes.hidden_size)
        self.text_projector = nn.Linear(sizes.text_dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Bound the tokens of a video: all frames fine, or the most tokens."""
        return min(num_frames * self.fine_side**2, self._most(num_frames))

    def _most(self, num_frames: int) -> int:
        """Give the most tokens of a video of so many frames, ``L``."""
        if self.budget is None:
            return self.max_tokens
        return max(self.fine_side**2, self.budget(num_frames))

    def num_fine(self, num_frames: int, most: int) -> int:
        """Count the frames of so many that have the fine grid within ``L`` tokens."""
        fine, coarse = self.fine_side**2, self.coarse_side**2
        if fine * num_frames <= most:
            return num_frames
        spare = most - coarse * num_frames
        return max(0, spare // (fine - coarse)) if fine > coarse else 0

    def forward(
        self, videos: Sequence[VideoFeatures], text: Tensor, text_mask: Tensor
    ) -> list[VideoTokens]:
        """Make the tokens of each video for its question."""
        weights = text_weights(text, text_mask).to(text)
        text = text.masked_fill(~text_mask[..., None], 0)
        questions = self.text_projector(torch.einsum("bn,bnd->bd", weights, text))
        return [
            self._connect(video, question)
            for video, question in zip(videos, questions, strict=True)
        ]

    def _connect(self, video: VideoFeatures, question: Tensor) -> VideoTokens:
        most = self._most(video.num_frames)
        frames = torch.arange(video.num_frames, device=video.spatial.device)
        if video.num_frames >= most // self.coarse_side**2:
            frames = prune_frames(video.spatial, self.frame_threshold)
        fine = self._fine(video.spatial[frames])
        coarse = self._coarsen(fine)
        scores = coarse.mean(1) @ question  # [T]
        best = scores.argsort(descending=True, stable=True)
        is_fine = torch.zeros_like(frames, dtype=torch.bool)
        is_fine[best[: self.num_fine(len(frames), most)]] = True
        keeps = torch.ones(coarse.shape[:2], dtype=torch.bool, device=frames.device)
        if coarse.shape[1] * len(frames) > most:
            chunks = (torch.arange(len(frames), device=frames.device) // _CHUNK)[
                :, None
            ]
            keeps = keep_changes(coarse, self.token_threshold).flatten()
            chunks = chunks.expand(coarse.shape[:2]).flatten()
            keeps = torch.unflatten(cut_tails(keeps, chunks, most), 0, coarse.shape[:2])
        lengths = torch.where(is_fine, fine.shape[1], keeps.sum(1))
        of_fine = is_fine.repeat_interleave(lengths)
        embeds = fine.new_empty(len(of_fine), fine.shape[2])
        embeds[of_fine] = fine[is_fine].flatten(0, 1)
        embeds[~of_fine] = coarse[~is_fine][keeps[~is_fine]]
        return VideoTokens(
            embeds=embeds,
            frame_indices=frames.cpu(),
            pts_seconds=video.pts_seconds[frames].cpu().double(),
            is_cone=is_fine.cpu(),
            lengths=lengths.cpu(),
            scores=scores.detach().float().cpu(),
        )

    def _fine(self, patches: Tensor) -> Tensor:
        windows = torch.split(patches, WINDOW)
        return torch.cat(
            [self.projector(pool_grid(w, self.fine_side)) for w in windows]
        )

    def _coarsen(self, tokens: Tensor) -> Tensor:
        """Bring tokens ``[T, 144, H]`` to the coarse grid, ``[T, 64, H]``."""
        grid = torch.unflatten(tokens.mT, 2, (self.fine_side, self.fine_side))
        size = (self.coarse_side, self.coarse_side)
        return F.interpolate(grid, size, mode="bilinear").flatten(2).mT
