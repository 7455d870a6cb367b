"""ResidualViT: few patches of most frames, and a token of the last full one.

Soldan et al., ICCV 2025. Letters beyond the shared ones: ``F`` frames of a window, ``P``
tokens before the patches, ``k`` patches of a frame between full ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dynfocus.methods.towers.interface import (
    Layers,
    TowerSizes,
    cut_patches,
    take_tokens,
)


def cost_share(num_between: int, drop: float) -> float:
    """Give the price of a tower that sees ``num_between`` of so many frames thinned."""
    return (1 + (1 - drop) * num_between) / (1 + num_between)


class ResidualViT(nn.Module):
    r"""Run the tower over every third frame, and over what moves of those between.

    .. math::
        x_t = \begin{cases}
            \mathrm{ViT}(v_t) & t \bmod (n + 1) = 0 \\
            \mathrm{ViT}(\mathrm{CLS}, A\, \bar x_s, v_{t,j})_{j \in \mathrm{moving}} &
            \mathrm{otherwise}
        \end{cases}

    where ``s`` is the full frame before, ``x`` with a bar its class token's feature, and
    ``moving`` the ``1 - drop`` of the patches that differ most from the frame before. With
    two frames between and ``drop`` 0.85 it costs 0.43 of the tower.

    Differs from the original:
        Its code was not published. There a frame's feature is its class token; here a
        connector reads patches, and those that were dropped are what they are in the
        full frame before. Motion is the mean absolute difference of pixels. ``A`` learns
        from the answers, not by distillation. Each window begins with a full frame.

    Args:
        sizes: The tower.
        num_between: Frames between full ones, ``n``.
        drop: Share of their patches that is dropped.
    """

    needs_tower = True

    def __init__(
        self, sizes: TowerSizes, num_between: int = 2, drop: float = 0.85
    ) -> None:
        super().__init__()
        if not 0 <= drop < 1:
            raise ValueError(f"drop must be at least 0 and below 1, got {drop}")
        self.num_between, self.drop = num_between, drop
        self.patch_size, self.num_patches = sizes.patch_size, sizes.num_patches
        self.residual = nn.Linear(sizes.dim, sizes.dim)

    @property
    def num_kept(self) -> int:
        """Count the patches that stay of a frame between; one at least."""
        return max(1, round((1 - self.drop) * self.num_patches))

    def forward(self, tower: Any, pixels: Tensor) -> Tensor:
        """Encode a window of frames."""
        layers = Layers(tower)
        embedded, prefix = layers.embed(pixels), layers.num_prefix
        numbers = torch.arange(len(pixels), device=pixels.device)
        is_full = numbers % (self.num_between + 1) == 0
        full = layers.run(embedded[is_full])
        before = is_full.cumsum(0) - 1  # the full frame of each
        patches = full[:, prefix:][before]
        between = numbers[~is_full]
        if len(between):
            moving = self.find_motion(pixels)[~is_full]
            told = full[:, 0] if prefix else full.mean(1)
            residual = self.residual(told)[before[between], None]
            kept = take_tokens(embedded[between, prefix:], moving)
            seen = [embedded[between, :prefix], residual, kept]
            found = layers.run(torch.cat(seen, dim=1))[:, prefix + 1 :]
            patches = patches.clone()
            patches[between[:, None], moving] = found
        return patches

    def find_motion(self, pixels: Tensor) -> Tensor:
        """Find the patches of frames that differ most from the frame before, ``[F, k]``."""
        patches = cut_patches(pixels, self.patch_size)
        moved = (patches - patches.roll(1, 0)).abs().mean(2)
        order = moved.argsort(dim=1, descending=True, stable=True)
        return order[:, : self.num_kept].sort(dim=1).values
