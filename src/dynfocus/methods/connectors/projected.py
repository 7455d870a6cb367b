"""A connector without parameters of its own: compress patches, then project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.methods.connectors.interface import ConnectorSizes, build_projector


class Compressor(Protocol):
    """Compresses the patches of a video without parameters and without a question."""

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        ...

    def __call__(self, video: VideoFeatures) -> VideoTokens:
        """Compress the patches of a video to tokens of their own width, ``[S, D]``."""
        ...


class ProjectedTokens(nn.Module):
    """Compress patches without parameters, then project each token.

    Args:
        compress: What makes the tokens.
        sizes: What it connects.
    """

    def __init__(self, compress: Compressor, sizes: ConnectorSizes) -> None:
        super().__init__()
        self.compress = compress
        self.projector = build_projector(sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return self.compress.num_tokens(num_frames)

    def forward(
        self, videos: Sequence[VideoFeatures], text: Tensor, text_mask: Tensor
    ) -> list[VideoTokens]:
        """Compress and project each video; the question is not looked at."""
        with torch.no_grad():
            compressed = [self.compress(video) for video in videos]
        embeds = self.projector(torch.cat([video.embeds for video in compressed]))
        parts = torch.split(embeds, [len(video.embeds) for video in compressed])
        return [
            replace(video, embeds=part)
            for video, part in zip(compressed, parts, strict=True)
        ]
