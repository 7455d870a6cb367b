"""Video-Panda: no tower, but convolutions and attention in windows (Yi et al., CVPR 2025).

Letters beyond the shared ones: ``F`` frames of a window, ``g`` side of the grid of
patches, ``n`` patches after downsampling.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.methods.towers.interface import TowerSizes

_DROPOUT = 0.5


class LocalMixing(nn.Module):
    """Let patches see those beside them in time, then in space too (LSTE).

    Args:
        dim: Width of the patches.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = max(1, int(dim / 1.5))
        self.norm = nn.BatchNorm3d(dim)
        self.down = nn.Conv3d(dim, inner, 1)
        self.over_time = nn.Conv3d(
            inner, inner, (3, 1, 1), padding=(1, 0, 0), groups=inner
        )
        self.up = nn.Conv3d(inner, dim, 1)
        self.gate = nn.Parameter(torch.zeros(dim, 1, 1, 1))
        self.around = nn.Conv3d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, raw: Tensor) -> Tensor:
        """Mix ``[1, D, F, g, g]``."""
        x = raw + self.gate * self.up(self.over_time(self.down(self.norm(raw))))
        return raw + x + self.around(x)


class Query(nn.Module):
    """A learned query that reads tokens, and a perceptron behind it.

    Args:
        dim: Width of query and tokens.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = nn.Parameter(0.02 * torch.randn(dim))
        self.norm = nn.LayerNorm(dim)
        self.key_projector = nn.Linear(dim, dim)
        self.value_projector = nn.Linear(dim, dim)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
        )
        self.gates = nn.Parameter(torch.zeros(2, dim))
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, tokens: Tensor) -> Tensor:
        """Read ``[B, S, D]`` into ``[B, D]``."""
        normed = self.norm(tokens)
        query = self.query.expand(len(tokens), 1, -1)
        keys, values = self.key_projector(normed), self.value_projector(normed)
        found = F.scaled_dot_product_attention(query, keys, values)[:, 0]
        x = self.query + self.gates[0] * self.dropout(found)
        return x + self.gates[1] * self.dropout(self.perceptron(x))


class WindowDown(nn.Module):
    r"""Bring each window of four patches to one (LSD).

    .. math::
        \bar x + \gamma W_o\, \mathrm{Softmax}\Big(\frac{W_q \bar x (W_k x)^\top}{\sqrt D}
        \Big) W_v x

    Args:
        dim: Width of the patches, ``D``.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.num_heads = math.gcd(8, dim)
        self.query_projector = nn.Linear(dim, dim)
        self.key_projector = nn.Linear(dim, dim)
        self.value_projector = nn.Linear(dim, dim)
        self.output_projector = nn.Linear(dim, dim)
        self.gate = nn.Parameter(torch.zeros(dim))

    def forward(self, windows: Tensor) -> Tensor:
        """Read windows ``[B, 4, D]`` into ``[B, D]``."""
        mean = windows.mean(1, keepdim=True)
        q, k, v = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for part in (
                self.query_projector(mean),
                self.key_projector(windows),
                self.value_projector(windows),
            )
        )
        scale = windows.shape[2] ** -0.5  # of the whole width, as published
        found = F.scaled_dot_product_attention(q, k, v, scale=scale)
        found = self.output_projector(found.transpose(1, 2).flatten(2))
        return (mean + self.gate * found)[:, 0]


class VideoPanda(nn.Module):
    r"""Embed patches, mix them locally, halve rows and columns, and add two views of all.

    .. math::
        x = \mathrm{LSD}(\mathrm{LSTE}(\mathrm{Conv}(v))) \qquad
        c_t = W\, \mathrm{LN}\big((1 - \sigma(b))\, G + \sigma(b)\, F_t\big)

    where ``G`` is of all frames before they are halved, ``F_t`` of one frame after. A
    frame gives ``c_t``, then its rows with a learned token behind each: 273 tokens of
    448 pixels in patches of 14.

    Differs from the original:
        Weights that start at zero there are behind gates that do, since models draw all
        matrices anew. ``G`` is of the frames of one window. Frames are not padded, so
        that none is cropped; of an odd number of rows the last is repeated. No distillation: it learns from the answers alone. The
        branch that is built there and not used is left out.

    Args:
        sizes: The frames and the width; a tower's layers are not read.
        is_grid: Leave out ``c`` and the tokens behind rows, for connectors that read a
            square grid of patches.
    """

    needs_tower = False

    def __init__(self, sizes: TowerSizes, is_grid: bool = False) -> None:
        super().__init__()
        self.is_grid = is_grid
        self.side = -(-sizes.frame_size // sizes.patch_size // 2)
        self.num_patches = self.side**2 if is_grid else 1 + self.side * (self.side + 1)
        self.embed = nn.Conv2d(3, sizes.dim, sizes.patch_size, sizes.patch_size)
        self.local = LocalMixing(sizes.dim)
        self.down = WindowDown(sizes.dim)
        if not is_grid:
            self.whole, self.frame = Query(sizes.dim), Query(sizes.dim)
            self.balance = nn.Parameter(torch.zeros(()))
            self.class_projector = nn.Sequential(
                nn.LayerNorm(sizes.dim), nn.Linear(sizes.dim, sizes.dim)
            )
            self.row_end = nn.Parameter(0.02 * torch.randn(sizes.dim))

    def forward(self, tower: Any, pixels: Tensor) -> Tensor:
        """Encode a window of frames; there is no tower."""
        raw = rearrange(self.embed(pixels), "f d h w -> 1 d f h w")
        grid = self.local(raw)
        spare = 2 * self.side - grid.shape[-1]  # repeats the last row and column
        if spare:
            grid = F.pad(grid, (0, spare, 0, spare, 0, 0), mode="replicate")
        windows = rearrange(grid, "1 d f (h a) (w b) -> (f h w) (a b) d", a=2, b=2)
        patches = self.down(windows).unflatten(0, (len(pixels), -1))  # [F, n, D]
        if self.is_grid:
            return patches
        whole = self.whole(rearrange(grid, "1 d f h w -> 1 (f h w) d"))
        share = self.balance.sigmoid()
        told = self.class_projector((1 - share) * whole + share * self.frame(patches))
        rows = patches.unflatten(1, (self.side, self.side))
        ends = self.row_end.expand(len(pixels), self.side, 1, -1)
        rows = torch.cat([rows, ends], dim=2).flatten(1, 2)
        return torch.cat([told[:, None], rows], dim=1)
