"""Prompt Switch: prompts that carry what other frames saw (Deng et al., ICCV 2023).

Letters beyond the shared ones: ``F`` frames of a window, ``P`` prompts of a frame and
frames of a chunk.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dynfocus.methods.towers.interface import Layers, TowerSizes, attend, think


def switch(x: Tensor, num_prompts: int) -> Tensor:
    """Swap prompts among the frames of each chunk.

    Args:
        x: Tokens of frames, ``[F, S + P, D]``, prompts last; whole chunks of ``P``.
        num_prompts: Prompts of a frame, ``P``.

    Returns:
        The same, with prompt ``p`` of frame ``f`` as prompt ``f`` of frame ``p``.
    """
    prompts = torch.unflatten(x[:, -num_prompts:], 0, (-1, num_prompts))
    cube = prompts.transpose(1, 2)
    return torch.cat([x[:, :-num_prompts], cube.flatten(0, 1)], dim=1)


class PromptSwitch(nn.Module):
    r"""Give each frame learned prompts, and switch the cube of them in every layer.

    .. math:: x \leftarrow x + \mathrm{Attention}(\mathrm{switch}(\mathrm{LN}(x)))

    ``P`` frames have ``P`` prompts each, a cube that is learned once. Before attention,
    and for it alone, prompts change places with frames, so that each frame reads a prompt
    that every other frame of its chunk wrote.

    Differs from the original:
        There the class token, which reads all prompts once more, is what stands for a
        frame; here a connector reads its patches, and that last layer of attention is
        left out. The loss of captions is not part of it. The last chunk repeats its last
        frame. The number of prompts is our choice.

    Args:
        sizes: The tower.
        num_prompts: Prompts of a frame and frames of a chunk, ``P``.
    """

    needs_tower = True

    def __init__(self, sizes: TowerSizes, num_prompts: int = 8) -> None:
        super().__init__()
        self.num_prompts, self.num_patches = num_prompts, sizes.num_patches
        cube = torch.randn(num_prompts, num_prompts, sizes.dim)
        self.prompts = nn.Parameter(cube)

    def forward(self, tower: Any, pixels: Tensor) -> Tensor:
        """Encode a window of frames."""
        layers, count = Layers(tower), self.num_prompts
        x = layers.embed(pixels)
        x = torch.cat([x, x[-1:].expand(-len(x) % count, -1, -1)])
        prompts = self.prompts.repeat(len(x) // count, 1, 1).to(x)
        x = torch.cat([x, prompts], dim=1)
        for layer in layers.layers:
            x = think(layer, x + attend(layer, switch(layer.layer_norm1(x), count)))
        return x[: len(pixels), layers.num_prefix : -count]
