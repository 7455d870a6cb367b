"""VideoScan: one carrier a frame, in a memory of a fixed size (Li et al., 2025)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.methods.connectors.blocks import WINDOW
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    VideoByVideo,
    build_projector,
    frame_tokens,
)
from dynfocus.methods.connectors.merging import Memory, shrink_to


class VideoScan(VideoByVideo):
    r"""Make each frame its mean token, and forget frames that are like the next one.

    .. math:: c_t = \mathrm{mean}_n\, \mathrm{MLP}(v_{t,n})

    Of more than 64 carriers, as they come, the earlier one of the two neighbours with the
    largest cosine is dropped.

    Differs from the original:
        There a language model reads all tokens of the latest frame, the carrier last, and
        keeps the carrier's keys and values of every layer; that is the language model's
        part, which a connector does not see. What is left of the mechanism is the carrier
        alone. Newlines between rows of patches are not in the mean.

    Args:
        sizes: What it connects.
        max_carriers: Frames that are remembered.
    """

    def __init__(self, sizes: ConnectorSizes, max_carriers: int = 64) -> None:
        super().__init__()
        self.max_carriers = max_carriers
        self.projector = build_projector(sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return min(num_frames, self.max_carriers)

    def _connect(self, video: VideoFeatures) -> VideoTokens:
        windows = torch.split(video.spatial, WINDOW)
        carriers = torch.cat([self.projector(own).mean(1) for own in windows])
        kept = self.remembered(carriers.detach())
        tokens = frame_tokens(video.take(kept), carriers[kept, None], fine=False)
        return replace(tokens, frame_indices=kept.cpu())

    def remembered(self, carriers: Tensor) -> Tensor:
        """Choose the frames that are remembered of carriers ``[T, H]``, in order."""
        numbers = torch.arange(len(carriers), device=carriers.device)
        memory = Memory.of(carriers[:, None, None], numbers)
        kept = memory.part(0, self.max_carriers)
        for number in range(self.max_carriers, len(carriers)):
            kept = kept.join(memory.part(number, number + 1))
            kept = shrink_to(kept, self.max_carriers, rule="later")
        return kept.seconds[:, 0].long()
