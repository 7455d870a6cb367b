"""TDC: a frame in full, and of those after it what they add (Hao et al., ICCV 2025).

Letters beyond the shared ones: ``C`` chunks, ``F`` frames that are not whole, ``Q``
queries of one of them, ``n`` text tokens, ``Dq`` width of the text features, ``k`` tokens
of a whole frame, ``H`` width of the language model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus import VideoFeatures, VideoTokens, uniform_indices
from dynfocus.methods.connectors.blocks import part_of_side, pool_grid
from dynfocus.methods.connectors.interface import ConnectorSizes, build_projector
from dynfocus.methods.connectors.longvu import cut_tails
from dynfocus.methods.connectors.query_reader import QueryLayer

_CHUNK = 8


def find_starts(patches: Tensor, num_segments: int) -> Tensor:
    """Find the frames that stand in full, the first of each chunk.

    The video is cut between the pairs of neighbours that are least alike, and segments
    into chunks of eight frames at most.

    Args:
        patches: Patches of all frames, ``[T, N, D]``.
        num_segments: Segments, if there are as many frames.

    Returns:
        True at the first frame of each chunk, ``[T]``.
    """
    frames = patches.flatten(1)
    alike = F.cosine_similarity(frames[1:], frames[:-1], dim=1)
    cuts = alike.argsort(stable=True)[: num_segments - 1] + 1
    is_start = torch.zeros(len(frames), dtype=torch.bool, device=frames.device)
    is_start[cuts] = True
    is_start[0] = True
    numbers = torch.arange(len(frames), device=frames.device)
    since = numbers - torch.where(is_start, numbers, 0).cummax(0).values
    return since % _CHUNK == 0


class TemporalContext(nn.Module):
    r"""Show the first frame of each chunk in full and the others by what they add.

    A video is cut into 25 segments, and these into chunks of eight frames at most.

    .. math::
        q_j = W_i\, \mathrm{pool}_{16}(O_s) \qquad
        O_j = \alpha \frac{z_j}{\lVert z_j \rVert}, \quad
        z_j = W_o\, \mathrm{QFormer}(q_j, x_j, \mathrm{question})

    ``O_s`` are the 144 tokens of the chunk's first frame. A learned separator follows
    every frame: a chunk of eight has 145 + 7 * 17 tokens.

    Differs from the original:
        A model has one tower here, which also finds the cuts, and pooling in place of the
        spatial vision aggregator. There ``alpha`` is 1, beside tokens of any length; here
        it is learned from there. The Q-Former is of two layers as wide as the text
        features, whose question it reads, and is drawn anew, where there it is BERT. No
        sound. The room for text is not known, so that ``max_tokens`` is fixed.

    Args:
        sizes: What it connects; patches stand on a square grid, 24 x 24 for 144.
        num_queries: Tokens of a frame that is not whole.
        num_segments: Segments into which the video is cut.
        max_frames: At most so many frames, evenly spaced.
        max_tokens: What is more is cut from the ends of chunks.
        depth: Layers of the Q-Former; every second reads the frame.
    """

    varies = True

    def __init__(
        self,
        sizes: ConnectorSizes,
        num_queries: int = 16,
        num_segments: int = 25,
        max_frames: int = 224,
        max_tokens: int = 8176,
        depth: int = 2,
    ) -> None:
        super().__init__()
        width = sizes.text_dim
        self.num_queries, self.num_segments = num_queries, num_segments
        self.max_frames, self.max_tokens = max_frames, max_tokens
        self.side = part_of_side(sizes.num_patches, 2)
        self.projector = build_projector(sizes.dim, sizes.hidden_size)
        self.input_projector = nn.Linear(sizes.hidden_size, width)
        self.frame_projector = nn.Linear(sizes.hidden_size, width)
        self.layers = nn.ModuleList(
            QueryLayer(width, reads=number % 2 == 0) for number in range(depth)
        )
        self.output_projector = nn.Linear(width, sizes.hidden_size)
        self.scale = nn.Parameter(torch.ones(()))
        self.separator = nn.Parameter(0.02 * torch.randn(sizes.hidden_size))

    def num_tokens(self, num_frames: int) -> int:
        """Bound the tokens of a video: its segments in the most chunks."""
        count = min(num_frames, self.max_frames)
        segments = min(count, self.num_segments)
        chunks = segments + (count - segments) // _CHUNK
        added = (count - chunks) * self.num_queries
        return min(chunks * self.side**2 + added + count, self.max_tokens)

    def forward(
        self, videos: Sequence[VideoFeatures], text: Tensor, text_mask: Tensor
    ) -> list[VideoTokens]:
        """Make the tokens of each video for its question."""
        return [
            self._connect(video, question[own])
            for video, question, own in zip(videos, text, text_mask, strict=True)
        ]

    def _connect(self, video: VideoFeatures, question: Tensor) -> VideoTokens:
        count = min(video.num_frames, self.max_frames)
        frames = uniform_indices(video.num_frames, count, video.spatial.device)
        patches = video.spatial[frames]
        is_start = find_starts(patches, self.num_segments)
        whole = self.projector(pool_grid(patches, self.side))  # [T, k, H]
        chunks = is_start.cumsum(0) - 1  # [T]
        static = whole[is_start]
        added = self.add(static[chunks[~is_start]], whole[~is_start], question)
        embeds, lengths = self._lay_out(static, added, is_start)
        stays = cut_tails(
            torch.ones(len(embeds), dtype=torch.bool, device=embeds.device),
            chunks.repeat_interleave(lengths),
            self.max_tokens,
        )
        rows = torch.arange(count, device=embeds.device).repeat_interleave(lengths)
        return VideoTokens(
            embeds=embeds[stays],
            frame_indices=frames.cpu(),
            pts_seconds=video.pts_seconds[frames].cpu().double(),
            is_cone=is_start.cpu(),
            lengths=rows[stays].bincount(minlength=count).cpu(),
            scores=torch.zeros(count),
        )

    def add(self, static: Tensor, whole: Tensor, question: Tensor) -> Tensor:
        """Say what frames add to the first of their chunks.

        Args:
            static: Tokens of these first frames, ``[F, k, H]``.
            whole: Tokens of the frames, ``[F, k, H]``.
            question: Text features of the question, ``[n, Dq]``.

        Returns:
            Their tokens, ``[F, Q, H]``, all of the learned length.
        """
        pooled = F.adaptive_avg_pool1d(static.mT, self.num_queries).mT
        found = self.input_projector(pooled)
        frames = self.frame_projector(whole)
        words = question.expand(len(whole), -1, -1)
        for layer in self.layers:
            found = layer(found, words, frames)
        return self.scale * F.normalize(self.output_projector(found), dim=2)

    def _lay_out(
        self, static: Tensor, added: Tensor, is_start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Put frames in order, each with a separator behind it; also count their tokens."""

        def close(tokens: Tensor) -> Tensor:
            ends = self.separator.expand(len(tokens), 1, -1)
            return torch.cat([tokens, ends], dim=1).flatten(0, 1)

        lengths = torch.where(is_start, static.shape[1] + 1, added.shape[1] + 1)
        of_static = is_start.repeat_interleave(lengths)
        embeds = static.new_empty(len(of_static), static.shape[2])
        embeds[of_static], embeds[~of_static] = close(static), close(added)
        return embeds, lengths
