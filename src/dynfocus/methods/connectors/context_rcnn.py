"""Context R-CNN's bank: each frame asks the whole video (Beery et al., CVPR 2020).

Letters beyond the shared ones: ``R`` frames in the bank, ``k`` tokens of a frame.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus import VideoFeatures, VideoTokens, uniform_indices
from dynfocus.methods.connectors.blocks import pool_grid, sinusoids
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    build_projector,
    frame_tokens,
)


class ContextBank(nn.Module):
    r"""Add to the tokens of a frame what they find in a bank of other frames.

    .. math::
        x + W_o\, \mathrm{Softmax}\Big(\frac{\hat q \hat k^\top}{\tau}\Big) \hat v, \quad
        q = W_q x, \; k = W_k m, \; v = W_v m

    where a hat is a vector of unit length, ``x`` are the pooled patches of a frame, and
    ``m`` has the mean patch of each frame in the bank with its time, in minutes.

    Differs from the original:
        There the bank of a camera holds a month of detected boxes, and what reads it are
        boxes of the current frame; here a bank is of one video, at most ``max_bank``
        frames of it, evenly spaced. The published projections have batch norm and ReLU6,
        and times are written as year, month, day, hour and minute; ours are linear, and
        a time is sines and cosines. The bank's width is the tower's.

    Args:
        sizes: What it connects; patches stand on a square grid.
        side: Rows and columns of a frame's tokens.
        temperature: ``tau``.
        max_bank: At most so many frames in the bank.
    """

    def __init__(
        self,
        sizes: ConnectorSizes,
        side: int = 2,
        temperature: float = 0.01,
        max_bank: int = 256,
    ) -> None:
        super().__init__()
        self.side, self.temperature, self.max_bank = side, temperature, max_bank
        self.query_projector = nn.Linear(sizes.dim, sizes.dim)
        self.key_projector = nn.Linear(sizes.dim, sizes.dim)
        self.value_projector = nn.Linear(sizes.dim, sizes.dim)
        self.output_projector = nn.Linear(sizes.dim, sizes.dim)
        self.time_projector = nn.Linear(sizes.dim, sizes.dim, bias=False)
        self.projector = build_projector(sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return num_frames * self.side**2

    def forward(
        self, videos: Sequence[VideoFeatures], text: Tensor, text_mask: Tensor
    ) -> list[VideoTokens]:
        """Let each frame of each video ask its bank; the question is not looked at."""
        return [
            frame_tokens(video, self.projector(self._read(video)), fine=False)
            for video in videos
        ]

    def bank(self, video: VideoFeatures) -> Tensor:
        """Hold the mean patches of frames with their times, ``[R, D]``."""
        count = min(video.num_frames, self.max_bank)
        frames = uniform_indices(video.num_frames, count, video.spatial.device)
        means = video.spatial[frames].mean(1)
        waves = sinusoids(video.pts_seconds[frames] / 60, means.shape[1])
        return means + self.time_projector(waves.to(means))

    def _read(self, video: VideoFeatures) -> Tensor:
        """Make the tokens of the frames, ``[T, k, D]``."""
        tokens = pool_grid(video.spatial, self.side)
        bank = self.bank(video)
        queries = F.normalize(self.query_projector(tokens.flatten(0, 1)), dim=1)
        keys = F.normalize(self.key_projector(bank), dim=1)
        values = F.normalize(self.value_projector(bank), dim=1)
        found = F.scaled_dot_product_attention(
            queries[None], keys[None], values[None], scale=1 / self.temperature
        )
        return tokens + self.output_projector(found[0]).unflatten(0, tokens.shape[:2])
