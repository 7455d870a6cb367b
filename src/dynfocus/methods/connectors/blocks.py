"""What several connectors are built of: grids, resamplers and mixers.

Letters beyond the shared ones: ``F`` frames in a row, ``g`` side of the grid of patches,
``s`` side of a smaller one, ``S`` tokens in a row, ``Q`` learned queries, ``n`` text
tokens.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

WINDOW = 64
"""Frames worked on at once, so that memory does not grow with the length of a video."""
_MAX_HEADS = 8


def grid_side(num_patches: int) -> int:
    """Give the side of a square grid of patches.

    Raises:
        ValueError: They stand on no square grid.
    """
    side = math.isqrt(num_patches)
    if side * side != num_patches:
        raise ValueError(
            f"num_patches must be a square number, got {num_patches}; choose a vision "
            "tower with square frames and no more than their patches"
        )
    return side


def part_of_side(num_patches: int, parts: int) -> int:
    """Give the side of a grid that is so many times smaller; one at least."""
    return max(1, grid_side(num_patches) // parts)


def pool_grid(patches: Tensor, side: int) -> Tensor:
    """Average patches ``[F, N, D]`` over the cells of a smaller grid, ``[F, s * s, D]``.

    Cell ``i`` of ``s`` covers the rows from ``floor(i g / s)`` to ``ceil((i + 1) g / s)``.
    """
    own = grid_side(patches.shape[1])
    grid = torch.unflatten(patches.mT, 2, (own, own))
    return F.adaptive_avg_pool2d(grid, side).flatten(2).mT


def fold_grid(patches: Tensor) -> Tensor:
    """Lay each window of two by two patches in a row (space to depth).

    Args:
        patches: Patches, ``[F, N, D]``; where the side is no multiple of the window, the
            last row and column are repeated.

    Returns:
        Shape ``[F, ceil(g / 2) ** 2, 4 * D]``.
    """
    own = grid_side(patches.shape[1])
    spare = own % 2
    grid = torch.unflatten(patches, 1, (own, own))
    if spare:
        last = torch.arange(own + spare, device=grid.device).clamp(max=own - 1)
        grid = grid[:, last][:, :, last]
    return rearrange(grid, "f (h a) (w b) d -> f (h w) (a b d)", a=2, b=2)


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Write positions ``[...]`` as sines and cosines, ``[..., width]``."""
    steps = torch.arange(width // 2, device=positions.device)
    rates = 10_000.0 ** (-steps / max(1, width // 2))
    angles = positions[..., None].float() * rates
    waves = torch.cat([angles.sin(), angles.cos()], dim=-1)
    return F.pad(waves, (0, width - waves.shape[-1]))


def gumbel(drawn: Tensor) -> Tensor:
    """Turn numbers drawn evenly from 0 to 1 into Gumbel noise, ``-log(-log u)``."""
    bound = torch.finfo(drawn.dtype).eps
    return -(-drawn.clamp(min=bound, max=1 - bound).log()).log()


class Attention(nn.Module):
    """Attention with norms before it and as many heads, up to eight, as divide the width.

    Args:
        dim: Width of all that comes and goes.
        num_heads: Heads; at most eight by default.
    """

    def __init__(self, dim: int, num_heads: int | None = None) -> None:
        super().__init__()
        self.num_heads = num_heads or math.gcd(_MAX_HEADS, dim)
        self.query_norm = nn.LayerNorm(dim)
        self.key_norm = nn.LayerNorm(dim)
        self.query_projector = nn.Linear(dim, dim)
        self.key_projector = nn.Linear(dim, dim)
        self.value_projector = nn.Linear(dim, dim)
        self.output_projector = nn.Linear(dim, dim)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor | None = None,
        mask: Tensor | None = None,
        turns: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Attend from queries ``[B, Q, D]`` to keys ``[B, S, D]``, themselves by default.

        Args:
            queries: Those that ask.
            keys: Those that are asked.
            mask: True where a key may be seen, ``[B, 1, Q, S]`` or what becomes it.
            turns: Positions of queries and keys, ``[Q]`` and ``[S]``, by which both are
                rotated; none by default.

        Returns:
            What was found, ``[B, Q, D]``.
        """
        asking = self.query_norm(queries)
        asked = self.key_norm(queries if keys is None else keys)
        q, k, v = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for part in (
                self.query_projector(asking),
                self.key_projector(asked),
                self.value_projector(asked),
            )
        )
        if turns is not None:
            q, k = rotate(q, turns[0]), rotate(k, turns[1])
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.output_projector(found.transpose(1, 2).flatten(2))


def rotate(x: Tensor, positions: Tensor) -> Tensor:
    """Rotate pairs of channels of ``[..., S, D]`` by positions ``[S]`` (rotary)."""
    half = x.shape[-1] // 2
    rates = 10_000.0 ** (-torch.arange(half, device=x.device) / max(1, half))
    angles = positions.to(x.device)[:, None].float() * rates  # [S, half]
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    turned = [first * cos - second * sin, first * sin + second * cos, rest]
    return torch.cat(turned, dim=-1)


def build_perceptron(dim: int) -> nn.Sequential:
    """Build a normed perceptron that is four times as wide inside."""
    return nn.Sequential(
        nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)
    )


class Resampler(nn.Module):
    r"""Learned queries that read any number of tokens (Perceiver).

    .. math::
        z \leftarrow z + \mathrm{Attention}(z, x) \qquad z \leftarrow z + \mathrm{MLP}(z)

    Args:
        dim: Width of queries and tokens.
        num_queries: Queries, ``Q``.
        depth: Layers.
        num_heads: Heads; at most eight by default.
    """

    def __init__(
        self, dim: int, num_queries: int, depth: int, num_heads: int | None = None
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(0.02 * torch.randn(num_queries, dim))
        self.attention = nn.ModuleList(Attention(dim, num_heads) for _ in range(depth))
        self.perceptrons = nn.ModuleList(build_perceptron(dim) for _ in range(depth))

    def forward(self, tokens: Tensor) -> Tensor:
        """Read tokens ``[B, S, D]`` into ``[B, Q, D]``."""
        found = self.queries.expand(len(tokens), -1, -1)
        for attend, think in zip(self.attention, self.perceptrons, strict=True):
            found = found + attend(found, tokens)
            found = found + think(found)
        return found


class GatedMixer(nn.Module):
    """A layer of attention and a perceptron behind gates that start at zero.

    Before it has learned anything it leaves tokens as they are, so that a connector
    starts from plain pooling.

    Args:
        dim: Width of the tokens.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attention = Attention(dim)
        self.perceptron = build_perceptron(dim)
        self.gates = nn.Parameter(torch.zeros(2, dim))

    def forward(
        self,
        tokens: Tensor,
        keys: Tensor | None = None,
        mask: Tensor | None = None,
        turns: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Mix tokens ``[B, S, D]``; see `Attention.forward`."""
        tokens = tokens + self.gates[0] * self.attention(tokens, keys, mask, turns)
        return tokens + self.gates[1] * self.perceptron(tokens)
