"""Video-ChatGPT: means over space beside means over time (Maaz et al., ACL 2024)."""

from __future__ import annotations

import torch

from dynfocus.focus import VideoFeatures, VideoTokens, uniform_indices
from dynfocus.methods.connectors.interface import loose_tokens


class VideoChatGPT:
    r"""Pool a video over its patches and over its frames.

    .. math::
        \tau_t = \mathrm{mean}_n\, v_{t,n} \qquad \sigma_n = \mathrm{mean}_t\, v_{t,n}

    The tokens are :math:`\tau_1 .. \tau_T, \sigma_1 .. \sigma_N`.

    Differs from the original:
        A video of fewer than ``max_frames`` frames is not padded with zero rows.

    Args:
        num_patches: Patches of a frame.
        max_frames: At most so many frames, evenly spaced.
    """

    def __init__(self, num_patches: int, max_frames: int = 100) -> None:
        self.num_patches = num_patches
        self.max_frames = max_frames

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return min(num_frames, self.max_frames) + self.num_patches

    def __call__(self, video: VideoFeatures) -> VideoTokens:
        """Pool the patches of a video."""
        count = min(video.num_frames, self.max_frames)
        frames = uniform_indices(video.num_frames, count)
        patches, times = video.spatial[frames], video.pts_seconds[frames]
        timeless = times.new_full((self.num_patches,), torch.nan)
        tokens = torch.cat([patches.mean(1), patches.mean(0)])
        return loose_tokens(video, tokens, torch.cat([times, timeless]))
