"""LangDC: as many tokens as it takes to tell what is seen (Wang et al., 2025).

Letters beyond the shared ones: ``C`` segments, ``S`` patches of a segment, ``H`` width of
the language model.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from dynfocus.focus import VideoFeatures, VideoTokens, uniform_indices
from dynfocus.methods.connectors.blocks import (
    Attention,
    build_perceptron,
    part_of_side,
    pool_grid,
)
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    VideoByVideo,
    build_projector,
    frame_tokens,
    loose_tokens,
)
from dynfocus.methods.connectors.videogpt_plus import join_tokens

_SEGMENT = 4


class LangDC(VideoByVideo):
    r"""Pool all frames coarsely, and tell each segment of four in as many tokens as needed.

    .. math::
        h_i = f(h_{i-1}; V_c, h_0, .., h_{i-1}) \qquad O_c = W_h h_1 .. W_h h_m, \quad
        m = \min \{ i : w^\top h_i > 0 \}

    The tokens are those of the frames, 52 of each with 24 x 24 patches, then those of the
    segments.

    Differs from the original:
        There ``f`` is a language model, Qwen2.5-0.5B, that writes a caption until it
        ends, and its hidden states are the tokens. Its training code was not published.
        Here ``f`` is a layer that hands its state on and learns from the answers alone: a
        token counts as far as none before it wanted to end, so that where it ends is
        learned, too. At most 64 tokens a segment where there are 256. One tower stands
        for both encoders; the sides of the grids are a quarter and a sixth of its.

    Args:
        sizes: What it connects; patches stand on a square grid.
        max_frames: At most so many frames, evenly spaced.
        max_told: The most tokens of a segment.
    """

    varies = True

    def __init__(
        self, sizes: ConnectorSizes, max_frames: int = 16, max_told: int = 64
    ) -> None:
        super().__init__()
        self.max_frames, self.max_told = max_frames, max_told
        self.fine_side = part_of_side(sizes.num_patches, 4)
        self.coarse_side = part_of_side(sizes.num_patches, 6)
        self.projector = build_projector(sizes.dim, sizes.hidden_size)
        self.start = nn.Parameter(0.02 * torch.randn(sizes.dim))
        self.attention = Attention(sizes.dim)
        self.perceptron = build_perceptron(sizes.dim)
        self.stop = nn.Linear(sizes.dim, 1)
        self.told_projector = nn.Linear(sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Bound the tokens of a video from its number of frames."""
        count = min(num_frames, self.max_frames)
        pooled = count * (self.fine_side**2 + self.coarse_side**2)
        return pooled + -(-count // _SEGMENT) * self.max_told

    def _connect(self, video: VideoFeatures) -> VideoTokens:
        count = min(video.num_frames, self.max_frames)
        frames = uniform_indices(video.num_frames, count)
        kept = video.take(frames)
        fine, coarse = (
            self.projector(pool_grid(kept.spatial, side))
            for side in (self.fine_side, self.coarse_side)
        )
        base = frame_tokens(kept, torch.cat([fine, coarse], dim=1), fine=False)
        told = [
            self.tell(own.flatten(0, 1)) for own in torch.split(kept.spatial, _SEGMENT)
        ]
        times = torch.split(kept.pts_seconds, _SEGMENT)
        seconds = torch.cat(
            [
                (own[[0, -1]].mean()).expand(len(tokens))
                for own, tokens in zip(times, told, strict=True)
            ]
        )
        loose = loose_tokens(kept, self.told_projector(torch.cat(told)), seconds)
        both = join_tokens([base, loose])
        return replace(both, frame_indices=frames[both.frame_indices])

    def tell(self, patches: Tensor) -> Tensor:
        """Tell a segment ``[S, D]`` in one token or more, ``[m, D]``."""
        state, lasts = self.start[None], self.start.new_ones(1)
        states, told = [state], []
        for _ in range(self.max_told):
            seen = torch.cat([patches, *states])[None]
            state = state + self.attention(state[None], seen)[0]
            state = state + self.perceptron(state)
            states.append(state)
            told.append(state * (1 + lasts - lasts.detach()))
            ends = self.stop(state)[0]
            if bool(ends > 0):
                break
            lasts = lasts * (1 - ends.sigmoid())
        return torch.cat(told)
