"""STORM: a state that runs over all patches in both directions (Jiang et al., 2025).

Letters beyond the shared ones: ``L`` tokens in a row, ``H`` width of the language model,
``S`` numbers of the state of a channel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.methods.connectors.blocks import grid_side, pool_grid
from dynfocus.methods.connectors.interface import ConnectorSizes, loose_tokens

_MOST_NUMBERS = 1 << 23
_TAPS = 4


def scan(decay: Tensor, inputs: Tensor, state: Tensor) -> Tensor:
    r"""Run ``h_t = a_t h_{t-1} + b_t`` over a row.

    Pairs of steps are joined to one, pairs of these, and so on, so that a row of ``L``
    takes ``log L`` operations.

    Args:
        decay: ``a``, ``[L, ...]``.
        inputs: ``b``, ``[L, ...]``.
        state: What is there before the row, ``[...]``.

    Returns:
        ``h``, ``[L, ...]``.
    """
    inputs = torch.cat([(inputs[0] + decay[0] * state)[None], inputs[1:]])
    step = 1
    while step < len(inputs):
        joined = inputs[step:] + decay[step:] * inputs[:-step]
        inputs = torch.cat([inputs[:step], joined])
        decay = torch.cat([decay[:step], decay[step:] * decay[:-step]])
        step *= 2
    return inputs


class StateSpace(nn.Module):
    r"""A diagonal state space whose step and gates depend on the input (Mamba).

    .. math::
        h_t = e^{-\Delta_t e^{A}} h_{t-1} + \Delta_t B_t u_t \qquad
        y_t = C_t^\top h_t + D u_t \qquad
        u = \mathrm{SiLU}(\mathrm{conv}_4(x))

    Args:
        dim: Width of the tokens.
        num_states: Numbers of the state of a channel, ``S``.
    """

    def __init__(self, dim: int, num_states: int) -> None:
        super().__init__()
        self.num_states = num_states
        kernel = torch.zeros(dim, 1, _TAPS)
        kernel[:, :, -1] = 1
        self.kernel = nn.Parameter(kernel)
        self.step = nn.Linear(dim, dim)
        self.read_write = nn.Linear(dim, 2 * num_states)
        rates = torch.arange(1, num_states + 1).log()
        self.rates = nn.Parameter(rates.expand(dim, -1).clone())
        self.skip = nn.Parameter(torch.ones(dim))

    def forward(self, row: Tensor) -> Tensor:
        """Run over tokens ``[L, H]``, first to last."""
        padded = F.pad(row.mT[None], (_TAPS - 1, 0))
        row = F.silu(F.conv1d(padded, self.kernel, groups=row.shape[1])[0].mT)
        state = row.new_zeros(row.shape[1], self.num_states)
        size = max(1, _MOST_NUMBERS // state.numel())
        parts = []
        for part in torch.split(row, size):
            found, state = checkpoint(self._run, part, state, use_reentrant=False)
            parts.append(found)
        return torch.cat(parts)

    def _run(self, part: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run over a part of a row, ``[L, H]``, from a state ``[H, S]``."""
        step = F.softplus(self.step(part))[:, :, None]
        write, read = self.read_write(part)[:, None].chunk(2, dim=2)
        decay = torch.exp(-step * self.rates.exp())  # [L, H, S]
        states = scan(decay, step * write * part[:, :, None], state)
        return (states * read).sum(2) + self.skip * part, states[-1]


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


class Storm(nn.Module):
    r"""Mix all patches of all frames along the row that they form, then average.

    .. math::
        X = W v \qquad X \leftarrow X + \mathrm{SSM}(\mathrm{LN}(X)) \qquad
        O_s = \mathrm{mean}_{t=4s}^{4s+3} X_t

    The row goes frame by frame, and in a frame line by line, in both directions. As long
    as the gates are zero this is the mean of four frames.

    Differs from the original:
        There Mamba's kernel runs on a GPU; here the same recurrence, without its gate and
        expansion, is a scan in PyTorch. Layers and size of the state were not published;
        two and 16 are our choice, as are the gates. Patches come as the tower gives them,
        without folding windows of four before.

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

    def forward(
        self, videos: Sequence[VideoFeatures], text: Tensor, text_mask: Tensor
    ) -> list[VideoTokens]:
        """Make the tokens of each video; the question is not looked at."""
        return [self._connect(video) for video in videos]

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
