"""A connector without parameters of its own: compress patches, then project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from dynfocus.methods.connectors.interface import (
    ConnectedVideo,
    ConnectorSizes,
    build_projector,
)
from dynfocus.methods.patches import VideoPatches


@dataclass(frozen=True, kw_only=True, eq=False)
class CompressedVideo:
    """A video after compression, before the projector."""

    num_frames: int
    """Frames of the video, ``T``."""
    tokens: Tensor
    """Visual tokens, shape ``[S, D]``."""
    pts_seconds: Tensor
    """Time of each token, shape ``[S]``; NaN for a token that belongs to no time."""
    fine_frames: Tensor
    """Frames that are encoded finely, shape ``[K]``."""


class Compressor(Protocol):
    """Compresses the patches of a video without parameters and without a question."""

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        ...

    def __call__(self, video: VideoPatches) -> CompressedVideo:
        """Compress the patches of a video."""
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

    @torch.no_grad()
    def prepare(
        self, video: VideoPatches, num_read: int | None = None
    ) -> CompressedVideo:
        """Compress a video, or even frames of it; no question is needed."""
        read = video.thin(num_read)
        compressed = self.compress(read)
        return replace(compressed, fine_frames=read.number(compressed.fine_frames))

    def forward(
        self,
        videos: Sequence[CompressedVideo],
        text: Tensor,
        text_mask: Tensor,
    ) -> list[ConnectedVideo]:
        """Project the tokens of each video; the question is not looked at."""
        lengths = [len(video.tokens) for video in videos]
        embeds = self.projector(torch.cat([video.tokens for video in videos]))
        return [
            ConnectedVideo(
                embeds=part,
                pts_seconds=video.pts_seconds,
                fine_frames=video.fine_frames,
            )
            for part, video in zip(embeds.split(lengths), videos, strict=True)
        ]
