"""PVC: patches that see the same place in earlier frames, then folded (Yang et al., 2024).

Letters beyond the shared ones: ``R`` patches in a row, ``n`` tokens of a frame.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.methods.connectors.blocks import (
    build_perceptron,
    fold_grid,
    grid_side,
    sinusoids,
)
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    VideoByVideo,
    build_projector,
    frame_tokens,
)

_TIME_CHANNELS = 256
_IMAGE_FRAMES = 4


class TemporalLayer(nn.Module):
    r"""Causal attention in time at a fixed place, behind a norm that knows the time.

    .. math::
        \hat v_t = \mathrm{LN}(v_t)(1 + \gamma(t)) + \beta(t) \qquad
        v \leftarrow v + g_1 \odot \mathrm{Attention}_{s \le t}(\hat v) \qquad
        v \leftarrow v + g_2 \odot \mathrm{MLP}(v)

    The gates start at zero.

    Args:
        dim: Width of the patches.
        num_heads: Heads of the attention.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.time = nn.Sequential(
            nn.Linear(_TIME_CHANNELS, dim), nn.SiLU(), nn.Linear(dim, 2 * dim)
        )
        self.inputs = nn.Linear(dim, 3 * dim)
        self.outputs = nn.Linear(dim, dim)
        self.perceptron = build_perceptron(dim)
        self.gates = nn.Parameter(torch.zeros(2, dim))

    def forward(self, patches: Tensor, waves: Tensor) -> Tensor:
        """Mix patches ``[T, N, D]`` at times whose sines are ``[T, 256]``."""
        scale, shift = self.time(waves)[:, None].chunk(2, dim=2)
        normed = self.norm(patches) * (1 + scale) + shift
        rows = self.inputs(normed).transpose(0, 1)  # [N, T, 3 D]
        query, key, value = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for part in rows.chunk(3, dim=2)
        )
        found = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        mixed = self.outputs(found.transpose(1, 2).flatten(2)).transpose(0, 1)
        patches = patches + self.gates[0] * mixed
        return patches + self.gates[1] * self.perceptron(patches)


class Pvc(VideoByVideo):
    r"""Let each patch see its place in earlier frames, then fold windows of four patches.

    .. math:: O_t = \mathrm{MLP}(\mathrm{fold}_{2\times2}(\mathrm{Layers}(v_1, .., v_t)))

    As long as the gates of the layers are zero this is the folding of InternVL.

    Differs from the original:
        There the layers stand inside the last blocks of the tower; how many, where, and
        behind which gate was not published. Here two stand behind the tower, and gates,
        heads and where the norm stands are our choice. Time is the seconds since the first
        frame. An image is a still video of four frames there; here the tokens of the last
        of the four are read, so that one frame has no more tokens than two.

    Args:
        sizes: What it connects; patches stand on a square grid.
        depth: Layers.
    """

    def __init__(self, sizes: ConnectorSizes, depth: int = 2) -> None:
        super().__init__()
        self.tokens_per_frame = (-(-grid_side(sizes.num_patches) // 2)) ** 2
        heads = next(n for n in (8, 4, 2, 1) if sizes.dim % n == 0)
        self.layers = nn.ModuleList(
            TemporalLayer(sizes.dim, heads) for _ in range(depth)
        )
        self.projector = build_projector(4 * sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return num_frames * self.tokens_per_frame

    def _connect(self, video: VideoFeatures) -> VideoTokens:
        patches, seconds = video.spatial, video.pts_seconds
        if len(patches) == 1:
            patches = patches.expand(_IMAGE_FRAMES, -1, -1)
            seconds = seconds.expand(_IMAGE_FRAMES)
        waves = sinusoids(seconds - seconds[0], _TIME_CHANNELS).to(patches)
        for layer in self.layers:
            patches = layer(patches, waves)
        tokens = self.projector(fold_grid(patches[-video.num_frames :]))
        return frame_tokens(video, tokens, fine=False)
