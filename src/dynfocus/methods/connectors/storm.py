"""STORM: a state that runs over all patches in both directions (Jiang et al., 2025).

Letters beyond the shared ones: ``L`` tokens in a row, ``H`` width of the language model,
``S`` numbers of the state of a channel, ``n`` heads of ``w`` channels, ``K`` chunks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.methods.connectors.blocks import grid_side, pool_grid
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    VideoByVideo,
    loose_tokens,
)

_MOST_NUMBERS = 1 << 22
_CHUNK = 64
_TAPS = 4
_HEAD_WIDTH = 64


def scan(
    inputs: Tensor, log_decay: Tensor, write: Tensor, read: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Run ``h_t = a_t h_{t-1} + x_t b_t^T`` and ``y_t = h_t c_t`` over a row.

    Tokens of a chunk of 64 reach each other by products of matrices, and the state is
    carried from chunk to chunk (state space duality of Mamba-2).

    Args:
        inputs: ``x`` of each head, ``[L, n, w]``.
        log_decay: Logarithm of ``a``, at most 0, ``[L, n]``.
        write: ``b``, ``[L, S]``.
        read: ``c``, ``[L, S]``.
        state: ``h`` before the row, ``[n, w, S]``.

    Returns:
        ``y``, ``[L, n, w]``, and ``h`` after the row.
    """
    length, spare = len(inputs), -len(inputs) % _CHUNK
    x, log_a, b, c = (
        torch.unflatten(
            F.pad(part, (0, 0) * (part.ndim - 1) + (0, spare)), 0, (-1, _CHUNK)
        )
        for part in (inputs, log_decay, write, read)
    )
    since = log_a.cumsum(1).transpose(1, 2)  # [K, n, 64]
    steps = since[:, :, :, None] - since[:, :, None]
    is_later = torch.ones_like(steps, dtype=torch.bool).triu(1)
    reach = steps.masked_fill(is_later, -torch.inf).exp() * (c @ b.mT)[:, None]
    found = torch.einsum("knij,kjnw->kinw", reach, x)
    to_end = (since[:, :, -1:] - since).exp()
    added = torch.einsum("knj,kjnw,kjs->knws", to_end, x, b)
    kept = since[:, :, -1].exp()[:, :, None, None]
    before = []
    for keep, add in zip(kept, added, strict=True):
        before.append(state)
        state = keep * state + add
    carried = torch.einsum("kni,knws,kis->kinw", since.exp(), torch.stack(before), c)
    return (found + carried).flatten(0, 1)[:length], state


class StateSpace(nn.Module):
    r"""A state space whose step, writing and reading depend on the input (Mamba-2).

    .. math::
        h_t = e^{-\Delta_t e^{A}} h_{t-1} + \Delta_t u_t B_t^\top \qquad
        y_t = h_t C_t + D \odot u_t \qquad u = \mathrm{SiLU}(\mathrm{conv}_4(x))

    ``A`` and the step ``\Delta`` are one number for each head of up to 64 channels.

    Args:
        dim: Width of the tokens.
        num_states: Numbers of the state of a channel, ``S``.
    """

    def __init__(self, dim: int, num_states: int) -> None:
        super().__init__()
        width = next(n for n in range(_HEAD_WIDTH, 0, -1) if dim % n == 0)
        self.num_states, self.num_heads = num_states, dim // width
        kernel = torch.zeros(dim, 1, _TAPS)
        kernel[:, :, -1] = 1
        self.kernel = nn.Parameter(kernel)
        self.step = nn.Linear(dim, self.num_heads)
        self.read_write = nn.Linear(dim, 2 * num_states)
        self.rates = nn.Parameter(torch.linspace(0, 2.7, self.num_heads))  # 1 to 15
        self.skip = nn.Parameter(torch.ones(dim))

    def forward(self, row: Tensor) -> Tensor:
        """Run over tokens ``[L, H]``, first to last."""
        padded = F.pad(row.mT[None], (_TAPS - 1, 0))
        row = F.silu(F.conv1d(padded, self.kernel, groups=row.shape[1])[0].mT)
        state = row.new_zeros(
            self.num_heads, row.shape[1] // self.num_heads, self.num_states
        )
        size = max(1, _MOST_NUMBERS // (_CHUNK**2 * self.num_heads)) * _CHUNK
        parts = []
        for part in torch.split(row, size):
            found, state = self._run(part, state)
            parts.append(found)
        return torch.cat(parts)

    def _run(self, part: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run over a part of a row, ``[L, H]``, from a state ``[n, w, S]``."""
        step = F.softplus(self.step(part))  # [L, n]
        write, read = self.read_write(part).chunk(2, dim=1)
        heads = torch.unflatten(part, 1, (self.num_heads, -1)) * step[:, :, None]
        found, state = scan(heads, -step * self.rates.exp(), write, read, state)
        return found.flatten(1) + self.skip * part, state


class StateLayer(nn.Module):
    r"""``x + g * (forward(LN(x)) + backward(LN(x)))``, with gates ``g`` that start at zero.

    Args:
        dim: Width of the tokens.
        num_states: Numbers of the state of a channel.
    """

    def __init__(self, dim: int, num_states: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.ahead = StateSpace(dim, num_states)
        self.back = StateSpace(dim, num_states)
        self.outputs = nn.Linear(dim, dim)
        self.gates = nn.Parameter(torch.zeros(dim))

    def forward(self, row: Tensor) -> Tensor:
        """Mix tokens ``[L, H]``."""
        normed = self.norm(row)
        found = self.ahead(normed) + self.back(normed.flip(0)).flip(0)
        return row + self.gates * self.outputs(found)


class Storm(VideoByVideo):
    r"""Mix all patches of all frames along the row that they form, then average.

    .. math::
        X = W v \qquad X \leftarrow X + \mathrm{SSM}(\mathrm{LN}(X)) \qquad
        O_s = \mathrm{mean}_{t=4s}^{4s+3} X_t

    The row goes frame by frame, and in a frame line by line, in both directions. As long
    as the gates are zero this is the mean of four frames.

    Differs from the original:
        There Mamba's kernel runs on a GPU; here it is the recurrence of Mamba-2, without
        its gate and expansion, in products of matrices. Layers and size of the state were
        not published; two and 16 are our choice, as are the gates. Patches come as the
        tower gives them, without folding windows of four before.

    Args:
        sizes: What it connects; patches stand on a square grid.
        temporal_pool: Frames that are averaged; the last may be fewer.
        spatial_pool: Side of the window of patches that is averaged.
        sampling: Keep each so many-th of the averaged frames, as the paper does at test
            time.
        depth: Layers.
        num_states: Numbers of the state of a channel.
    """

    def __init__(
        self,
        sizes: ConnectorSizes,
        temporal_pool: int = 4,
        spatial_pool: int = 1,
        sampling: int = 1,
        depth: int = 2,
        num_states: int = 16,
    ) -> None:
        super().__init__()
        self.temporal_pool, self.sampling = temporal_pool, sampling
        self.side = max(1, grid_side(sizes.num_patches) // spatial_pool)
        self.projector = nn.Linear(sizes.dim, sizes.hidden_size)
        self.layers = nn.ModuleList(
            StateLayer(sizes.hidden_size, num_states) for _ in range(depth)
        )

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return -(-num_frames // (self.temporal_pool * self.sampling)) * self.side**2

    def _connect(self, video: VideoFeatures) -> VideoTokens:
        row = self.projector(video.spatial).flatten(0, 1)
        for layer in self.layers:
            row = layer(row)
        mixed = pool_grid(row.unflatten(0, video.spatial.shape[:2]), self.side)
        kept = slice(None, None, self.sampling)
        pools = torch.split(mixed, self.temporal_pool)[kept]
        times = torch.split(video.pts_seconds.double(), self.temporal_pool)[kept]
        tokens = torch.cat([pool.mean(0) for pool in pools])
        seconds = torch.stack([own.mean() for own in times])
        return loose_tokens(video, tokens, seconds.repeat_interleave(self.side**2))
