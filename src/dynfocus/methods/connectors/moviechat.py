"""MovieChat: alike neighbours merge into a long memory (Song et al., CVPR 2024).

Letters beyond the shared ones: ``P`` tokens of a block, ``L`` blocks of the memory, ``Q``
queries.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor, nn

from dynfocus.focus import VideoFeatures, VideoTokens, uniform_indices
from dynfocus.methods.connectors.blocks import Resampler, grid_side, pool_grid
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    VideoByVideo,
    build_projector,
    loose_tokens,
)
from dynfocus.methods.connectors.merging import Memory, Read, Similarity, shrink_to
from dynfocus.text import check_choice

_SHARE = 0.01


class MovieChat(VideoByVideo):
    r"""Merge the frames of each fragment to two blocks, and read all blocks.

    Of a fragment the two neighbouring blocks that are most alike become their mean, again
    and again, until two are left; these go to the long memory. Block ``16 i + j`` of it
    has the position ``a u_i + (1 - a) u_j`` with ``u = (p - a p_0) / (1 - a)`` and
    ``a = 0.01``, ``p`` being 16 learned ones. A video is 32 queries that read the memory.

    Differs from the original:
        A block are a frame's patches, averaged over a grid, not 32 tokens of a frozen
        Q-Former; what reads the memory is drawn anew, not Video-LLaMA's. Longer videos
        than 128 fragments are shown evenly. Short memory, which 8 frames never fill, and
        questions about a moment (breakpoint mode) have no place here. Which grid, and how
        many layers read, is our choice. MovieChat+ lets a score of CLIP decide how many
        blocks a fragment leaves; that is not built.

    Args:
        sizes: What it connects; patches stand on a square grid.
        fragment_frames: Frames of a fragment.
        fragment_blocks: Blocks that each leaves.
        similarity: Of two blocks: the ``dot`` products of all their tokens, as in the
            code; the mean ``cosine`` of tokens, as in the paper; or ``flat``, the cosine
            of whole blocks.
        weighted: Whether the mean of two blocks counts what each merges already; as in
            the code it does not.
        grid_size: Side of the grid of a block.
        read: ``queries`` is MovieChat; ``memory`` gives all blocks, projected, and has no
            parameters but the projector.
        num_queries: Queries, ``Q``.
    """

    max_fragments = 128

    def __init__(
        self,
        sizes: ConnectorSizes,
        fragment_frames: int = 8,
        fragment_blocks: int = 2,
        similarity: Similarity = "dot",
        weighted: bool = False,
        grid_size: int = 4,
        read: Read = "queries",
        num_queries: int = 32,
    ) -> None:
        super().__init__()
        check_choice(similarity, "similarity", get_args(Similarity))
        if not 1 <= fragment_blocks <= fragment_frames:
            raise ValueError(
                f"fragment_blocks must be from 1 to the {fragment_frames} frames of a "
                f"fragment, got {fragment_blocks}"
            )
        check_choice(read, "read", get_args(Read))
        self.fragment_frames, self.fragment_blocks = fragment_frames, fragment_blocks
        self.similarity: Similarity = similarity
        self.weighted, self.read, self.num_queries = weighted, read, num_queries
        self.side = min(grid_size, grid_side(sizes.num_patches))
        if read == "queries":
            self.positions = nn.Parameter(0.02 * torch.randn(16, sizes.dim))
            self.reader = Resampler(sizes.dim, num_queries, depth=2)
        self.projector = build_projector(sizes.dim, sizes.hidden_size)

    def num_blocks(self, num_frames: int) -> int:
        """Count the blocks that a video leaves in the long memory."""
        shown = min(num_frames, self.max_fragments * self.fragment_frames)
        whole, rest = divmod(shown, self.fragment_frames)
        return whole * self.fragment_blocks + min(rest, self.fragment_blocks)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        if self.read == "queries":
            return self.num_queries
        return self.num_blocks(num_frames) * self.side**2

    def _connect(self, video: VideoFeatures) -> VideoTokens:
        with torch.no_grad():
            memory = self.remember(video)
        blocks = memory.tokens[:, 0]  # [L, P, D]
        seconds = memory.seconds.repeat_interleave(blocks.shape[1])
        if self.read == "memory":
            tokens = self.projector(blocks.flatten(0, 1))
            return loose_tokens(video, tokens, seconds)
        placed = blocks + spread_positions(self.positions, len(blocks))[:, None]
        tokens = self.projector(self.reader(placed.flatten(0, 1)[None])[0])
        timeless = seconds.new_full((len(tokens),), torch.nan)
        return loose_tokens(video, tokens, timeless)

    def remember(self, video: VideoFeatures) -> Memory:
        """Merge the frames of each fragment; gives the long memory, ``[L, 1, P, D]``."""
        most = self.max_fragments * self.fragment_frames
        frames = uniform_indices(video.num_frames, min(video.num_frames, most))
        blocks = pool_grid(video.spatial[frames], self.side)[:, None]
        long: Memory | None = None
        for tokens, seconds in zip(
            torch.split(blocks, self.fragment_frames),
            torch.split(video.pts_seconds[frames], self.fragment_frames),
            strict=True,
        ):
            left = shrink_to(
                Memory.of(tokens, seconds),
                self.fragment_blocks,
                self.similarity,
                "weighted" if self.weighted else "plain",
            )
            long = left if long is None else long.join(left)
        assert long is not None  # a video has a frame
        return long


def spread_positions(positions: Tensor, num_blocks: int) -> Tensor:
    """Give ``p * p`` positions made of ``p`` learned ones, ``[num_blocks, D]``.

    Args:
        positions: The learned ones, ``[p, D]``.
        num_blocks: Positions wanted, at most ``p * p``.
    """
    base = (positions - _SHARE * positions[:1]) / (1 - _SHARE)
    spread = _SHARE * base[:, None] + (1 - _SHARE) * base  # [p, p, D]
    return spread.flatten(0, 1)[:num_blocks]
