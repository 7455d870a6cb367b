"""LLaVA-OneVision's connector: every patch of every frame, pooled, and nothing chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    build_projector,
    frame_tokens,
)


class LlavaOnevisionConnector(nn.Module):
    """Project all patches, halve rows and columns, end with a newline.

    This is what the class of that name in transformers does with a video, and what
    `save_host` turns into it. Nothing tells the time but the order of the tokens.

    Args:
        sizes: What it connects; patches stand on a square grid.
    """

    def __init__(self, sizes: ConnectorSizes) -> None:
        super().__init__()
        self.side = math.isqrt(sizes.num_patches)
        self.projector = build_projector(sizes.dim, sizes.hidden_size)
        newline = torch.randn(sizes.hidden_size) / sizes.hidden_size**0.5
        self.newline = nn.Parameter(newline)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return num_frames * (-(-self.side // 2)) ** 2 + 1

    def forward(
        self, videos: Sequence[VideoFeatures], text: Tensor, text_mask: Tensor
    ) -> list[VideoTokens]:
        """Make the tokens of each video; the question is not looked at."""
        lengths = [video.num_frames for video in videos]
        frames = self._pool(torch.cat([video.spatial for video in videos]))
        return [
            self._finish(part, video)
            for part, video in zip(torch.split(frames, lengths), videos, strict=True)
        ]

    def _pool(self, patches: Tensor) -> Tensor:
        """Turn the patches of frames ``[F, N, D]`` into tokens ``[F, n, H]``."""
        grid = self.projector(patches).mT.unflatten(2, (self.side, self.side))
        half = -(-self.side // 2)
        pooled = F.interpolate(grid, size=(half, half), mode="bilinear")
        return pooled.flatten(2).mT

    def _finish(self, tokens: Tensor, video: VideoFeatures) -> VideoTokens:
        """Add the newline, which counts to the last frame, and leave out all times."""
        whole = frame_tokens(video, tokens, fine=True)
        lengths = whole.lengths.clone()
        lengths[-1] += 1
        return replace(
            whole,
            embeds=torch.cat([whole.embeds, self.newline[None]]),
            pts_seconds=torch.full_like(whole.pts_seconds, torch.nan),
            lengths=lengths,
        )
