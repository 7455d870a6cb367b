"""Connectors without parameters of their own: compress patches, then project.

Here are the plain compressors; Chat-UniVi has a file of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dynfocus.focus import (
    VideoFeatures,
    VideoTokens,
    uniform_indices,
)
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    build_projector,
    frame_tokens,
    loose_tokens,
    network_tokens,
)


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
        compressed = [self.compress(video) for video in videos]
        embeds = self.projector(torch.cat([video.embeds for video in compressed]))
        parts = torch.split(embeds, [len(video.embeds) for video in compressed])
        return [
            replace(video, embeds=part)
            for video, part in zip(compressed, parts, strict=True)
        ]


class UniformPatches:
    """Keep every patch of as many uniform frames as the budget of DynFocus pays for.

    Args:
        num_patches: Patches of a frame.
        budget_of: Settings of the network whose number of tokens is the budget; the
            paper's by default.
    """

    def __init__(
        self, num_patches: int, budget_of: Mapping[str, Any] | None = None
    ) -> None:
        self.num_patches = num_patches
        self.budget = network_tokens(budget_of)

    def num_kept(self, num_frames: int) -> int:
        """Count the frames that the budget pays for; one at least."""
        paid = self.budget(num_frames) // self.num_patches
        return min(num_frames, max(1, paid))

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return self.num_kept(num_frames) * self.num_patches

    def __call__(self, video: VideoFeatures) -> VideoTokens:
        """Keep the patches of frames, evenly."""
        frames = uniform_indices(video.num_frames, self.num_kept(video.num_frames))
        kept = video.take(frames)
        tokens = frame_tokens(kept, kept.spatial, fine=True)
        return replace(tokens, frame_indices=frames)


class VideoChatGPT:
    r"""Pool a video over its patches and over its frames.

    .. math::
        \tau_t = \mathrm{mean}_n\, v_{t,n} \qquad \sigma_n = \mathrm{mean}_t\, v_{t,n}

    The tokens are :math:`\tau_1 .. \tau_T, \sigma_1 .. \sigma_N`.

    Differs from the original:
        A video of fewer than ``max_frames`` frames is not padded with zero rows.

    Args:
        num_patches: Patches of a frame.
        max_frames: At most so many frames, evenly spaced.
    """

    def __init__(self, num_patches: int, max_frames: int = 100) -> None:
        self.num_patches = num_patches
        self.max_frames = max_frames

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return min(num_frames, self.max_frames) + self.num_patches

    def __call__(self, video: VideoFeatures) -> VideoTokens:
        """Pool the patches of a video."""
        count = min(video.num_frames, self.max_frames)
        frames = uniform_indices(video.num_frames, count)
        patches, times = video.spatial[frames], video.pts_seconds[frames]
        timeless = times.new_full((self.num_patches,), torch.nan)
        tokens = torch.cat([patches.mean(1), patches.mean(0)])
        return loose_tokens(video, tokens, torch.cat([times, timeless]))
