"""Mavors: chunks of sixteen frames, and chunks that see earlier ones (Shi et al., 2025).

Letters beyond the shared ones: ``C`` chunks, ``F`` frames of a chunk, ``n`` tokens of a
chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.methods.connectors.blocks import GatedMixer, part_of_side, pool_grid
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    VideoByVideo,
    build_projector,
    loose_tokens,
)


class Mavors(VideoByVideo):
    r"""Fold the frames of a chunk into one map, and let chunks read those before them.

    .. math::
        m_c = \mathrm{pool}_{2\times2}\Big(\sum_{f=1}^{F} w_f \odot v_{cF+f}\Big) \qquad
        O = \mathrm{MLP}(\mathrm{IFA}(m_1, .., m_C))

    ``w`` starts at ``1 / F``, so that a chunk of equal frames is its frame, and a fresh
    connector is plain pooling. In the three layers of ``IFA`` a token sees its own and all
    earlier chunks; all tokens of a chunk are rotated by its number.

    Differs from the original:
        There frames are folded by a 3-D convolution of pixels before the tower; here,
        where the tower comes first, by weights of each channel after it. Heads, width of
        the perceptron and gates that start at zero are our choice. A last chunk that is
        short repeats its last frame, as images are repeated there.

    Args:
        sizes: What it connects; patches stand on a square grid.
        chunk_frames: Frames of a chunk, ``F``.
        depth: Layers of attention among chunks.
    """

    def __init__(
        self, sizes: ConnectorSizes, chunk_frames: int = 16, depth: int = 3
    ) -> None:
        super().__init__()
        self.chunk_frames = chunk_frames
        self.side = part_of_side(sizes.num_patches, 2)
        start = torch.full((chunk_frames, sizes.dim), 1 / chunk_frames)
        self.frame_weights = nn.Parameter(start)
        self.layers = nn.ModuleList(GatedMixer(sizes.dim) for _ in range(depth))
        self.projector = build_projector(sizes.dim, sizes.hidden_size)

    def num_chunks(self, num_frames: int) -> int:
        """Count the chunks of so many frames."""
        return -(-num_frames // self.chunk_frames)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return self.num_chunks(num_frames) * self.side**2

    def _connect(self, video: VideoFeatures) -> VideoTokens:
        chunks = torch.stack(
            [
                self._fold(frames)
                for frames in torch.split(video.spatial, self.chunk_frames)
            ]
        )
        tokens = self.projector(self.aggregate(pool_grid(chunks, self.side)))
        times = torch.split(video.pts_seconds, self.chunk_frames)
        middles = torch.stack([(own[0] + own[-1]) / 2 for own in times])
        seconds = middles.repeat_interleave(self.side**2)
        return loose_tokens(video, tokens.flatten(0, 1), seconds)

    def _fold(self, frames: Tensor) -> Tensor:
        """Fold the frames of a chunk, ``[F, N, D]``, into one map ``[N, D]``."""
        weights: Tensor = self.frame_weights
        if len(frames) < len(weights):
            head, tail = weights[: len(frames) - 1], weights[len(frames) - 1 :]
            weights = torch.cat([head, tail.sum(0, keepdim=True)])
        return torch.einsum("fnd,fd->nd", frames, weights)

    def aggregate(self, chunks: Tensor) -> Tensor:
        """Let chunks ``[C, n, D]`` read those before them, one by one."""
        size = chunks.shape[1]
        for layer in self.layers:
            row = chunks.flatten(0, 1)
            turns = torch.arange(len(chunks)).repeat_interleave(size)
            chunks = torch.cat(
                [
                    layer(
                        row[None, end - size : end],
                        row[None, :end],
                        turns=(turns[end - size : end], turns[:end]),
                    )
                    for end in range(size, len(row) + 1, size)
                ]
            )
        return chunks
