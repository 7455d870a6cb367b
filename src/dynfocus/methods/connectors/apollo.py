"""Apollo: a fixed number of tokens for each clip (Zohar et al., CVPR 2025).

Letters beyond the shared ones: ``C`` clips, ``Q`` tokens of a clip.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.methods.connectors.blocks import WINDOW, Resampler
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    build_projector,
    loose_tokens,
)


class Apollo(nn.Module):
    r"""Read the patches of each clip with learned queries.

    .. math:: O_c = \mathrm{MLP}(\mathrm{Perceiver}(z, v_{4c}, .., v_{4c+3}))

    A clip of four frames has 32 tokens.

    Differs from the original:
        Its connector was not published. There the features of two encoders are joined,
        and words such as "0-2 seconds:" stand before each clip; here a model has one
        tower, and its clock marks the tokens with the middle of their clip. Depth and
        heads of the resampler, and that patches have an embedding of their place and of
        their frame in the clip, are our choice.

    Args:
        sizes: What it connects.
        clip_frames: Frames of a clip; the last may have fewer.
        clip_tokens: Tokens of a clip, ``Q``.
        depth: Layers of the resampler.
    """

    def __init__(
        self,
        sizes: ConnectorSizes,
        clip_frames: int = 4,
        clip_tokens: int = 32,
        depth: int = 2,
    ) -> None:
        super().__init__()
        self.clip_frames, self.clip_tokens = clip_frames, clip_tokens
        self.place_embedding = nn.Embedding(sizes.num_patches, sizes.dim)
        self.frame_embedding = nn.Embedding(clip_frames, sizes.dim)
        self.resampler = Resampler(sizes.dim, clip_tokens, depth)
        self.projector = build_projector(sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return self.clip_tokens * -(-num_frames // self.clip_frames)

    def forward(
        self, videos: Sequence[VideoFeatures], text: Tensor, text_mask: Tensor
    ) -> list[VideoTokens]:
        """Read each video clip by clip; the question is not looked at."""
        return [self._read(video) for video in videos]

    def _read(self, video: VideoFeatures) -> VideoTokens:
        size = self.clip_frames
        whole = video.num_frames // size * size
        found = [
            self._resample(torch.unflatten(part, 0, (-1, size)))
            for part in torch.split(video.spatial[:whole], WINDOW // size * size)
            if len(part)
        ]
        if whole < video.num_frames:
            found.append(self._resample(video.spatial[whole:][None]))
        times = torch.split(video.pts_seconds, size)
        middles = torch.stack([(own[0] + own[-1]) / 2 for own in times])
        tokens = self.projector(torch.cat(found).flatten(0, 1))
        seconds = middles.repeat_interleave(self.clip_tokens)
        return loose_tokens(video, tokens, seconds)

    def _resample(self, clips: Tensor) -> Tensor:
        """Read clips ``[C, F, N, D]`` into ``[C, Q, D]``."""
        frames = self.frame_embedding.weight[: clips.shape[1], None]
        return self.resampler(
            (clips + frames + self.place_embedding.weight).flatten(1, 2)
        )
