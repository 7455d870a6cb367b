"""MA-LMM: banks of the past inside a Q-Former (He et al., CVPR 2024).

Letters beyond the shared ones: ``M`` entries of a bank, ``Q`` queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor, nn

from dynfocus.focus import VideoFeatures, VideoTokens, uniform_indices
from dynfocus.methods.connectors.blocks import grid_side, pool_grid, sinusoids
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    VideoByVideo,
    build_projector,
    loose_tokens,
)
from dynfocus.methods.connectors.merging import Memory, Read, shrink_to
from dynfocus.methods.connectors.query_reader import QueryLayer
from dynfocus.text import check_choice


class MaLmm(VideoByVideo):
    r"""Read frames one by one with queries that see banks of what came before.

    Queries attend to the patches of the frame and of the visual bank, and in each layer
    to what they were there at earlier frames, the query bank. A bank that is longer than
    ``M`` merges, at each place by itself, the two neighbours in time of the largest
    cosine, each weighted by the frames that it stands for. The queries after the last
    frame are the tokens.

    Differs from the original:
        The Q-Former is a small one drawn anew that does not read the question, not
        InstructBLIP's. Time is told by sines of a frame's number, not by a table of 120,
        and every video starts with empty banks, whatever came before. Depth is our
        choice.

    Args:
        sizes: What it connects; patches stand on a square grid.
        memory_frames: Entries of a bank, ``M``: 10 to 40 in the paper.
        max_frames: At most so many frames, evenly spaced: 20 to 100 in the paper.
        num_queries: Queries, ``Q``.
        depth: Layers.
        read: ``queries`` is MA-LMM; ``memory`` gives the visual bank, averaged over a grid
            of four by four and projected, and has no parameters but the projector.
    """

    def __init__(
        self,
        sizes: ConnectorSizes,
        memory_frames: int = 20,
        max_frames: int = 100,
        num_queries: int = 32,
        depth: int = 2,
        read: Read = "queries",
    ) -> None:
        super().__init__()
        check_choice(read, "read", get_args(Read))
        self.memory_frames, self.max_frames = memory_frames, max_frames
        self.num_queries, self.read = num_queries, read
        self.side = min(4, grid_side(sizes.num_patches))
        if read == "queries":
            self.queries = nn.Parameter(0.02 * torch.randn(num_queries, sizes.dim))
            self.layers = nn.ModuleList(QueryLayer(sizes.dim) for _ in range(depth))
        self.projector = build_projector(sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        if self.read == "queries":
            return self.num_queries
        return min(num_frames, self.max_frames, self.memory_frames) * self.side**2

    def _connect(self, video: VideoFeatures) -> VideoTokens:
        count = min(video.num_frames, self.max_frames)
        shown = video.take(uniform_indices(video.num_frames, count))
        if self.read == "memory":
            with torch.no_grad():
                bank = self.remember(shown)
            pooled = pool_grid(bank.tokens[:, :, 0], self.side)
            tokens = self.projector(pooled.flatten(0, 1))
            seconds = pool_grid(bank.seconds[..., None], self.side).flatten()
            return loose_tokens(video, tokens, seconds)
        tokens = self.projector(self._read_frames(shown))
        timeless = torch.full((len(tokens),), torch.nan, dtype=torch.float64)
        return loose_tokens(video, tokens, timeless)

    def remember(self, video: VideoFeatures) -> Memory:
        """Give the visual bank after the last frame, ``[M, N, 1, D]``."""
        frames = Memory.of(video.spatial[:, :, None], video.pts_seconds)
        bank = frames.part(0, 1)
        for number in range(1, video.num_frames):
            bank = self._add(bank, frames.part(number, number + 1))
        return bank

    def _add(self, bank: Memory, latest: Memory) -> Memory:
        return shrink_to(bank.join(latest), self.memory_frames)

    def _read_frames(self, video: VideoFeatures) -> Tensor:
        """Read frames one by one, ``[Q, D]``; only the last one teaches."""
        numbers = torch.arange(video.num_frames, device=video.spatial.device)
        waves = sinusoids(numbers, video.spatial.shape[2]).to(video.spatial)
        frames = video.spatial + waves[:, None]
        seen = Memory.of(frames[:0, :, None], video.pts_seconds[:0])
        width = (0, self.num_queries, 1, frames.shape[2])
        empty = Memory.of(frames.new_zeros(width), video.pts_seconds[:0])
        past = [empty] * len(self.layers)
        found: Tensor = self.queries
        for number, frame in enumerate(frames):
            time = video.pts_seconds[number : number + 1]
            with torch.set_grad_enabled(
                torch.is_grad_enabled() and number == len(frames) - 1
            ):
                found, inputs = self._read_frame(frame, seen, past)
            seen = self._add(seen, Memory.of(frame.detach()[None, :, None], time))
            past = [
                self._add(bank, Memory.of(own.detach()[:, :, None], time))
                for bank, own in zip(past, inputs, strict=True)
            ]
        return found

    def _read_frame(
        self, frame: Tensor, seen: Memory, past: Sequence[Memory]
    ) -> tuple[Tensor, list[Tensor]]:
        """Read a frame ``[N, D]``; also give what went into each layer, ``[1, Q, D]``."""
        tokens = torch.cat([seen.tokens.flatten(0, 2), frame])[None]
        found, inputs = self.queries.to(frame)[None], []
        for layer, bank in zip(self.layers, past, strict=True):
            inputs.append(found)
            found = layer(found, bank.tokens.flatten(0, 2)[None], tokens)
        return found[0], inputs
