"""PLLaVA: project every patch, then pool a video to one shape (Xu et al., 2024).

Letters beyond the shared ones: ``S`` pooled steps, ``s`` side of the pooled grid, ``H``
width of the language model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.methods.connectors.blocks import WINDOW, part_of_side, pool_grid
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    build_projector,
    loose_tokens,
)


class PLLaVA(nn.Module):
    r"""Average the projected patches of a video over a grid of times and places.

    .. math::
        O_{i,r,c} = \mathrm{mean}_{t,y,x}\, \mathrm{MLP}(v_{t,y,x}), \quad
        t \in [\lfloor iT/S \rfloor, \lceil (i+1)T/S \rceil)

    and rows and columns likewise. Of fewer than ``S`` frames each is repeated, so that
    every video has ``S s^2`` tokens: 2304 with 16 steps of 12 x 12.

    Differs from the original:
        There a video is sampled to 16 frames first, so that nothing is averaged over
        time; here it is if more frames are read. Step ``i`` of fewer frames is frame
        ``floor(i T / S)``.

    Args:
        sizes: What it connects; patches stand on a square grid.
        num_steps: Steps of time, ``S``.
        side: Rows and columns, ``s``; half of the patches' by default.
    """

    def __init__(
        self, sizes: ConnectorSizes, num_steps: int = 16, side: int | None = None
    ) -> None:
        super().__init__()
        self.num_steps = num_steps
        self.side = side or part_of_side(sizes.num_patches, 2)
        self.projector = build_projector(sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video: as many whatever its length."""
        return self.num_steps * self.side**2

    def forward(
        self, videos: Sequence[VideoFeatures], text: Tensor, text_mask: Tensor
    ) -> list[VideoTokens]:
        """Pool each video; the question is not looked at."""
        return [self._pool(video) for video in videos]

    def _pool(self, video: VideoFeatures) -> VideoTokens:
        windows = torch.split(video.spatial, WINDOW)
        frames = torch.cat([pool_grid(self.projector(w), self.side) for w in windows])
        steps, times = (
            self._in_steps(frames),
            self._in_steps(video.pts_seconds[:, None]),
        )
        seconds = times[:, 0].repeat_interleave(self.side**2)
        return loose_tokens(video, steps.flatten(0, 1), seconds)

    def _in_steps(self, frames: Tensor) -> Tensor:
        """Bring ``[T, ...]`` into ``[S, ...]``."""
        count, steps = len(frames), self.num_steps
        if count < steps:
            return frames[torch.arange(steps, device=frames.device) * count // steps]
        flat = frames.flatten(1).T[None]
        return torch.unflatten(
            F.adaptive_avg_pool1d(flat, steps)[0].T, 1, frames.shape[1:]
        )
