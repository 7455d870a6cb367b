"""SALOVA: all segments in a token each, the fitting ones in full (Kim et al., CVPR 2025).

Letters beyond the shared ones: ``S`` segments, ``Q`` tokens of a segment, ``n`` text
tokens, ``H`` width of the language model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.focus.cooperative import text_weights
from dynfocus.methods.connectors.blocks import Resampler, part_of_side, pool_grid
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    build_projector,
    loose_tokens,
)


class Salova(nn.Module):
    r"""Read segments with learned queries, and route the question to a few of them.

    .. math::
        (c_s, l_s) = \mathrm{Perceiver}(z, V_s), \quad c_s \mathrel{+}= \mathrm{mean}\, V_s
        \qquad r_s = \cos(W_q Q, W_c c_s)

    The tokens are ``l_s`` of the ``num_routed`` segments of largest ``r``, in order of
    time, then ``c_s`` of all: ``5 * 256 + S`` of a long video.

    Differs from the original:
        There the router has two layers and learns from captions of segments, which are
        not asked for here; ours is a cosine, as the specification proposes, and learns
        from the answers: the tokens of a routed segment are weighed by ``2 sigmoid(r)``.
        Segments are even and not of scenes; place and frame are linear in sines and
        cosines in place of tables; no patch is dropped in training.

    Args:
        sizes: What it connects; patches stand on a square grid.
        max_segments: At most so many segments.
        segment_tokens: Tokens of a routed segment, ``Q``.
        num_routed: Segments that are shown in full.
    """

    def __init__(
        self,
        sizes: ConnectorSizes,
        max_segments: int = 16,
        segment_tokens: int = 256,
        num_routed: int = 5,
    ) -> None:
        super().__init__()
        self.max_segments, self.segment_tokens = max_segments, segment_tokens
        self.num_routed = num_routed
        self.side = part_of_side(sizes.num_patches, 2)
        self.place_embedding = nn.Embedding(self.side**2, sizes.dim)
        self.frame_projector = nn.Linear(1, sizes.dim, bias=False)
        heads = math.gcd(2, sizes.dim)
        self.resampler = Resampler(sizes.dim, segment_tokens + 1, 2, heads)
        self.query_projector = nn.Linear(sizes.text_dim, sizes.dim)
        self.key_projector = nn.Linear(sizes.dim, sizes.dim)
        self.projector = build_projector(sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        segments = min(num_frames, self.max_segments)
        return min(segments, self.num_routed) * self.segment_tokens + segments

    def forward(
        self, videos: Sequence[VideoFeatures], text: Tensor, text_mask: Tensor
    ) -> list[VideoTokens]:
        """Make the tokens of each video for its question."""
        weights = text_weights(text, text_mask).to(text)  # [B, n]
        text = text.masked_fill(~text_mask[..., None], 0)
        questions = torch.einsum("bn,bnd->bd", weights, text)
        queries = self.query_projector(questions)
        return [
            self._connect(video, query)
            for video, query in zip(videos, queries, strict=True)
        ]

    def _connect(self, video: VideoFeatures, query: Tensor) -> VideoTokens:
        pooled = pool_grid(video.spatial, self.side) + self.place_embedding.weight
        count = min(video.num_frames, self.max_segments)
        parts = torch.tensor_split(torch.arange(video.num_frames), count)
        found = torch.stack([self._read(pooled[part]) for part in parts])
        means = torch.stack([video.spatial[part].mean((0, 1)) for part in parts])
        whole = found[:, 0] + means  # [S, D]
        fits = F.cosine_similarity(query[None], self.key_projector(whole), dim=1)
        routed = self.route(fits)
        local = 2 * fits[routed].sigmoid()[:, None, None] * found[routed, 1:]
        times = video.pts_seconds
        seconds = torch.stack([(times[p[0]] + times[p[-1]]) / 2 for p in parts])
        near = seconds[routed.to(seconds.device)]
        tokens = self.projector(torch.cat([local.flatten(0, 1), whole]))
        spread = near.repeat_interleave(self.segment_tokens)
        return loose_tokens(video, tokens, torch.cat([spread, seconds]))

    def route(self, fits: Tensor) -> Tensor:
        """Choose the segments of largest fit ``[S]``, in order of time."""
        order = fits.argsort(descending=True, stable=True)
        return order[: self.num_routed].sort().values

    def _read(self, frames: Tensor) -> Tensor:
        """Read the frames of a segment, ``[F, s * s, D]``, into ``[1 + Q, D]``."""
        place = (torch.arange(len(frames), device=frames.device) + 0.5) / len(frames)
        shown = frames + self.frame_projector(place[:, None, None].to(frames))
        return self.resampler(shown.flatten(0, 1)[None])[0]
