"""Quicksviewer: learned bounds of cubes, and as many tokens for each (Qi et al., 2025).

Letters beyond the shared ones: ``K`` bounds beside the first frame, ``Q`` tokens of a
cube, ``S`` patches of a cube.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.methods.connectors.blocks import (
    grid_side,
    gumbel,
    pool_grid,
    sinusoids,
)
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    VideoByVideo,
    loose_tokens,
)

_MOMENTUM = 0.2
_TEMPERATURE = 0.5


class Bounds(NamedTuple):
    """Where the cubes of a video begin."""

    starts: Tensor
    """First frame of each cube, increasing, the first of them 0, ``[K + 1]``."""
    weights: Tensor
    """One for each start, through which the network learns, ``[K + 1]``."""


def count_bounds(num_frames: int, frames_per_cube: int = 5) -> int:
    """Count the cubes that begin after the first frame: ``max(round(T / 5) - 1, 1)``.

    One frame has none.
    """
    wanted = max(round(num_frames / frames_per_cube) - 1, 1)
    return min(wanted, num_frames - 1)


def momentum(patches: Tensor) -> Tensor:
    r"""Tell how patches ``[T, N, D]`` move, ``[T - 1, N, D]``.

    .. math:: m_1 = v_1 - v_0 \qquad m_t = 0.8 (v_t - v_{t-1}) + 0.2 m_{t-1}
    """
    steps = patches[1:] - patches[:-1]
    moves = [steps[0]]
    for step in steps[1:]:
        moves.append((1 - _MOMENTUM) * step + _MOMENTUM * moves[-1])
    return torch.stack(moves)


class BoundaryNetwork(nn.Module):
    r"""Choose where cubes begin.

    .. math::
        p_t = \mathrm{Softmax}\Big(\frac{z_t + \lambda\, \mathrm{Gumbel}}{0.5}\Big)_1
        \qquad z_t = \mathrm{MLP}\big(\mathrm{mean}_n\, W m_{t,n}\big)

    The ``K`` frames of the largest ``p`` begin a cube, and so does the first one.

    Args:
        dim: Width of the patches.
        noise: Weight of the noise in training, ``lambda``.
    """

    def __init__(self, dim: int, noise: float) -> None:
        super().__init__()
        self.noise = noise
        self.inputs = nn.Linear(dim, dim)
        self.score = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 2)
        )

    def forward(self, patches: Tensor, num_bounds: int) -> Bounds:
        """Choose ``K`` bounds in patches ``[T, N, D]``."""
        first = torch.zeros(1, dtype=torch.long, device=patches.device)
        one = patches.new_ones(1)
        if num_bounds == 0:
            return Bounds(first, one)
        logits = self.score(self.inputs(momentum(patches)).mean(1))  # [T - 1, 2]
        if self.training:
            logits = logits + self.noise * gumbel(torch.rand_like(logits))
        soft = (logits / _TEMPERATURE).softmax(1)[:, 1]
        order = soft.argsort(descending=True, stable=True)[:num_bounds]
        chosen = order.sort().values
        hard = 1 - soft[chosen].detach() + soft[chosen]
        return Bounds(torch.cat([first, chosen + 1]), torch.cat([one, hard]))


class CubeResampler(nn.Module):
    """Queries that read the patches of a cube, whose keys know their place and frame.

    Args:
        dim: Width of patches and queries.
        num_queries: Queries, ``Q``.
        hidden_size: Width of the tokens.
    """

    def __init__(self, dim: int, num_queries: int, hidden_size: int) -> None:
        super().__init__()
        self.num_heads = max(1, dim // 128) if dim % 128 == 0 else 1
        self.queries = nn.Parameter(0.02 * torch.randn(num_queries, dim))
        self.inputs = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, self.num_heads, batch_first=True)
        self.output_norm = nn.LayerNorm(dim)
        self.projector = nn.Linear(dim, hidden_size)

    def forward(self, patches: Tensor, start: int) -> Tensor:
        """Read patches ``[T, N, D]`` of a cube that begins at a frame, ``[Q, H]``."""
        values = self.norm(self.inputs(patches))
        keys = (values + place_waves(patches, start)).flatten(0, 1)[None]
        found, _ = self.attention(
            self.queries[None], keys, values.flatten(0, 1)[None], need_weights=False
        )
        return self.projector(self.output_norm(found[0]))


def place_waves(patches: Tensor, start: int) -> Tensor:
    """Write frame, row and column of patches ``[T, N, D]`` as sines, ``[T, N, D]``.

    Two eighths of the channels tell the frame, three the row and three the column.
    """
    num_frames, num_patches, dim = patches.shape
    side, part = grid_side(num_patches), dim // 8
    places = torch.arange(side, device=patches.device)
    frame = sinusoids(torch.arange(num_frames, device=patches.device) + start, 2 * part)
    row = sinusoids(places, 3 * part).repeat_interleave(side, dim=0)
    column = sinusoids(places, 3 * part).repeat(side, 1)
    waves = torch.cat(
        [
            frame[:, None].expand(-1, num_patches, -1),
            row.expand(num_frames, -1, -1),
            column.expand(num_frames, -1, -1),
        ],
        dim=2,
    )
    return F.pad(waves, (0, dim - waves.shape[2])).to(patches)


class Quicksviewer(VideoByVideo):
    r"""Cut a video into cubes where it changes, and read each with as many tokens.

    A thumbnail, the mean of the frames at which cubes begin on a grid of a third of the
    side, stands in front; through it alone the choice of the bounds is learned. Each cube
    has 64 tokens, however long it is.

    Differs from the original:
        Queries start as small noise, not as zeros, and the thumbnail averages windows of
        three by three patches, not nine patches in a row, as was meant. The noise of the
        bounds has one weight in training, where it falls from 1 to 0.01 there; without
        training there is none. Cubes are read in the width of the tower, not in that of
        the language model.

    Args:
        sizes: What it connects; patches stand on a square grid.
        frames_per_cube: Frames of a cube on average.
        cube_tokens: Tokens of a cube, ``Q``.
        noise: Weight of the noise of the bounds in training.
    """

    def __init__(
        self,
        sizes: ConnectorSizes,
        frames_per_cube: int = 5,
        cube_tokens: int = 64,
        noise: float = 0.1,
    ) -> None:
        super().__init__()
        self.frames_per_cube, self.cube_tokens = frames_per_cube, cube_tokens
        self.side = max(1, grid_side(sizes.num_patches) // 3)
        self.bounds = BoundaryNetwork(sizes.dim, noise)
        self.resampler = CubeResampler(sizes.dim, cube_tokens, sizes.hidden_size)
        self.context_projector = nn.Linear(sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        cubes = count_bounds(num_frames, self.frames_per_cube) + 1
        return cubes * self.cube_tokens + self.side**2

    def _connect(self, video: VideoFeatures) -> VideoTokens:
        patches, count = video.spatial, video.num_frames
        bounds = self.bounds(patches, count_bounds(count, self.frames_per_cube))
        starts = bounds.starts.tolist()
        frames = pool_grid(patches[bounds.starts], self.side)
        weights = bounds.weights / len(starts)
        tokens = [self.context_projector(torch.einsum("k,knd->nd", weights, frames))]
        times = [video.pts_seconds.new_full((self.side**2,), torch.nan)]
        for start, end in zip(starts, [*starts[1:], count], strict=True):
            tokens.append(self.resampler(patches[start:end], start))
            middle = video.pts_seconds[start:end].mean()
            times.append(middle.expand(self.cube_tokens))
        return loose_tokens(video, torch.cat(tokens), torch.cat(times))
