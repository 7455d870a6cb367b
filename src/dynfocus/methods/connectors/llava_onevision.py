"""LLaVA-OneVision's connector: every patch of every frame, pooled, and nothing chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.methods.connectors.interface import (
    ConnectedVideo,
    ConnectorSizes,
    build_projector,
)
from dynfocus.methods.patches import VideoPatches


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

    def prepare(self, video: VideoPatches, num_read: int | None = None) -> VideoPatches:
        """Keep the patches, or those of even frames: every patch is read."""
        return video.thin(num_read)

    def forward(
        self, videos: Sequence[VideoPatches], text: Tensor, text_mask: Tensor
    ) -> list[ConnectedVideo]:
        """Make the tokens of each video; the question is not looked at."""
        lengths = [video.num_frames for video in videos]
        frames = self._pool(torch.cat([video.patches for video in videos]))
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

    def _finish(self, tokens: Tensor, video: VideoPatches) -> ConnectedVideo:
        embeds = torch.cat([tokens.flatten(0, 1), self.newline[None]])
        return ConnectedVideo(
            embeds=embeds,
            pts_seconds=torch.full((len(embeds),), torch.nan, dtype=torch.float64),
            fine_frames=video.number(torch.arange(video.num_frames)),
        )
