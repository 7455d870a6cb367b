"""Flash-VStream: four memories of what came before a frame (Zhang et al., 2024).

Letters beyond the shared ones: ``L`` frames before the last, ``A`` entries of the
abstract memory, ``K`` clusters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from dynfocus.focus import VideoFeatures, VideoTokens, kmeans, merge_clusters
from dynfocus.methods.connectors.blocks import grid_side, pool_grid
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    VideoByVideo,
    build_projector,
    loose_tokens,
    network_tokens,
)
from dynfocus.text import check_choice

Retrieve = Literal["nearest", "official"]
_RATE = 0.2


class FlashVStream(VideoByVideo):
    r"""Hold the past as an abstract, clusters and key frames, and the last frame as it is.

    .. math::
        W = 0.2\, \mathrm{Softmax}\Big(\frac{W_q M\, (W_k F)^\top}{\sqrt d}\Big) \qquad
        M \leftarrow M \odot (1 - W 1) + W F

    ``M``, the abstract, starts as the means of the first 25 frames; ``F`` are those of the
    next 25, until the last frame but one. The long memory are the centroids of 25 clusters
    of frames of four by four tokens (k-means), and the key frames, of eight by eight, those
    nearest to the three centroids that stand for the most frames. The tokens are
    ``abstract, long, key, last``, projected.

    Differs from the original:
        This is the version of 2024 as it was meant. In its code a key frame has the number
        of a cluster in place of that of a frame, so that it is always one of the first 25
        (``retrieve="official"``); here it is the frame nearest to the centroid. Seeds are evenly spaced frames, not
        random ones, and clusters and key frames stand in the order of their times. The
        clusters weigh all frames alike, as a file that is read at once allows.

    Args:
        sizes: What it connects; patches stand on a square grid.
        num_entries: Entries of the abstract and of the long memory.
        num_key_frames: Key frames.
        retrieve: ``nearest`` takes the frames nearest to the largest centroids, as was
            meant; ``official`` those that have the numbers of the largest clusters, as in
            the code.
        grid_size: Side of the grid of the last frame and of key frames; that of the long
            memory is half of it.
        attention_dim: Width in which the abstract looks at frames, ``d``.
        budget_of: Settings of a dynamic cooperative network; the memories have as many
            entries, one at least, as its tokens pay for, in place of ``num_entries``.
    """

    def __init__(
        self,
        sizes: ConnectorSizes,
        num_entries: int = 25,
        num_key_frames: int = 3,
        retrieve: Retrieve = "nearest",
        grid_size: int = 8,
        attention_dim: int = 32,
        budget_of: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= num_key_frames <= num_entries:
            raise ValueError(
                f"num_key_frames must be from 1 to num_entries ({num_entries}), got "
                f"{num_key_frames}"
            )
        check_choice(retrieve, "retrieve", get_args(Retrieve))
        self.num_entries, self.num_key_frames = num_entries, num_key_frames
        self.retrieve = retrieve
        self.side = min(grid_size, grid_side(sizes.num_patches))
        self.long_side = max(1, self.side // 2)
        self.budget = None if budget_of is None else network_tokens(budget_of)
        self.memory_projector = nn.Linear(sizes.dim, attention_dim)
        self.frame_projector = nn.Linear(sizes.dim, attention_dim)
        self.projector = build_projector(sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        entries = min(num_frames - 1, self._most_entries(num_frames - 1))
        keys = min(entries, self.num_key_frames)
        return entries * (1 + self.long_side**2) + (keys + 1) * self.side**2

    def _most_entries(self, num_past: int) -> int:
        """Count the entries that each memory of so many past frames may have."""
        if self.budget is None:
            return self.num_entries
        entry, frame = 1 + self.long_side**2, self.side**2
        spare = self.budget(num_past + 1) - frame
        with_all_keys = (spare - self.num_key_frames * frame) // entry
        if with_all_keys >= self.num_key_frames:
            return with_all_keys
        return max(1, min(self.num_key_frames, spare // (entry + frame)))

    def _connect(self, video: VideoFeatures) -> VideoTokens:
        frames = pool_grid(video.spatial, self.side)
        seconds = video.pts_seconds.to(frames.device).double()
        parts = [(frames[-1:], seconds[-1:])]
        if len(frames) > 1:
            past, times = frames[:-1], seconds[:-1]
            entries, entry_times, keys = self.cluster(past, times)
            parts = [
                self.abstract(past.mean(1), times),
                (entries, entry_times),
                (past[keys], times[keys]),
                *parts,
            ]
        tokens = [(t if t.ndim == 3 else t[:, None], own) for t, own in parts]
        rows = torch.cat([part.flatten(0, 1) for part, _ in tokens])
        stamps = [own.repeat_interleave(part.shape[1]) for part, own in tokens]
        return loose_tokens(video, self.projector(rows), torch.cat(stamps))

    def abstract(self, means: Tensor, seconds: Tensor) -> tuple[Tensor, Tensor]:
        """Condense frames ``[L, D]`` to the abstract, ``[A, D]``, with mean times."""
        num_entries = self._most_entries(len(means))
        memory, times = means[:num_entries], seconds[:num_entries]
        bounds = range(num_entries, len(means) + num_entries, num_entries)
        for start, end in pairwise(bounds):
            block, block_times = means[start:end], seconds[start:end]
            logits = self.memory_projector(memory) @ self.frame_projector(block).mT
            width = self.frame_projector.out_features
            weights = _RATE * (logits / math.sqrt(width)).softmax(1)
            memory = (1 - _RATE) * memory + weights @ block
            share = weights.detach().double()
            times = (1 - _RATE) * times + share @ block_times
        return memory, times

    @torch.no_grad()
    def cluster(self, frames: Tensor, seconds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cluster frames ``[L, n, D]``, in order of time.

        Returns:
            Centroids ``[K, m, D]`` on the coarser grid, their mean times ``[K]``, and the
            positions of the key frames.
        """
        coarse = pool_grid(frames, self.long_side)
        num_entries = self._most_entries(len(frames))
        num_keys = min(num_entries, self.num_key_frames)
        if len(frames) <= num_entries:
            keys = torch.arange(min(len(frames), num_keys))
            return coarse, seconds, keys.to(frames.device)
        points = coarse.flatten(1)[None]
        found = kmeans(points, num_entries)
        centroids = merge_clusters(points, found, "uniform")[0]
        owner = found.assignment[0]
        weights = owner.bincount(minlength=num_entries)
        times = seconds.new_zeros(num_entries).index_add(0, owner, seconds)
        times = times / weights
        largest = weights.argsort(descending=True, stable=True)[:num_keys]
        order = times.argsort(stable=True)
        entries = torch.unflatten(centroids, 1, coarse.shape[1:])[order]
        keys = largest if self.retrieve == "official" else found.centers[0, largest]
        return entries, times[order], keys.sort().values
