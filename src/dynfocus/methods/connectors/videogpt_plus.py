"""VideoGPT+: the frames as an image and as a video encoder sees them (Maaz et al., 2024).

Letters beyond the shared ones: ``H`` width of the language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from dynfocus.focus import VideoFeatures, VideoTokens, uniform_indices
from dynfocus.methods.connectors.blocks import GatedMixer, part_of_side, pool_grid
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    VideoByVideo,
    build_projector,
    frame_tokens,
)

_CHUNK = 4


class VideoGPTPlus(VideoByVideo):
    r"""Project and pool two views of each frame; one follows the other.

    .. math::
        O = \mathrm{pool}(\mathrm{MLP}_i(v_1)) .. \mathrm{pool}(\mathrm{MLP}_i(v_T)),
            \mathrm{pool}(\mathrm{MLP}_v(u_1)) .. \mathrm{pool}(\mathrm{MLP}_v(u_T))

    16 frames of 24 x 24 patches have 12 x 12 image tokens and 8 x 8 video tokens each,
    3328 in all.

    Differs from the original:
        There ``u`` are of a video encoder, InternVideo2, that reads four frames together.
        A model has one tower here, so ``u`` are its patches after a layer of attention,
        our choice, among the four frames of a chunk at one place, which starts as the
        identity; their grid has a third of the tower's rows, as 8 is of 24.

    Args:
        sizes: What it connects; patches stand on a square grid.
        max_frames: At most so many frames, evenly spaced.
    """

    def __init__(self, sizes: ConnectorSizes, max_frames: int = 16) -> None:
        super().__init__()
        self.max_frames = max_frames
        self.image_side = part_of_side(sizes.num_patches, 2)
        self.video_side = part_of_side(sizes.num_patches, 3)
        self.projector = build_projector(sizes.dim, sizes.hidden_size)
        self.video_projector = build_projector(sizes.dim, sizes.hidden_size)
        self.mixer = GatedMixer(sizes.dim)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        per_frame = self.image_side**2 + self.video_side**2
        return min(num_frames, self.max_frames) * per_frame

    def _connect(self, video: VideoFeatures) -> VideoTokens:
        count = min(video.num_frames, self.max_frames)
        frames = uniform_indices(video.num_frames, count)
        kept = video.take(frames)
        image = pool_grid(self.projector(kept.spatial), self.image_side)
        moving = self.video_projector(self._mix(kept.spatial))
        views = (
            frame_tokens(kept, image, fine=True),
            frame_tokens(kept, pool_grid(moving, self.video_side), fine=False),
        )
        return join_tokens([replace(v, frame_indices=frames) for v in views])

    def _mix(self, patches: Tensor) -> Tensor:
        """Let the patches ``[T, N, D]`` at one place of a chunk see each other."""
        num_frames = len(patches)
        padded = F.pad(patches, (0, 0, 0, 0, 0, -num_frames % _CHUNK))
        chunks = torch.unflatten(padded, 0, (-1, _CHUNK)).transpose(
            1, 2
        )  # [C, N, 4, D]
        there = torch.arange(len(padded), device=patches.device) < num_frames
        mask = torch.unflatten(there, 0, (-1, _CHUNK)).repeat_interleave(
            patches.shape[1], 0
        )
        mixed = self.mixer(chunks.flatten(0, 1), mask=mask[:, None, None])
        mixed = mixed.unflatten(0, chunks.shape[:2]).transpose(1, 2)
        return mixed.flatten(0, 1)[:num_frames]


def join_tokens(parts: Sequence[VideoTokens]) -> VideoTokens:
    """Put the tokens of a video behind each other."""
    return VideoTokens(
        embeds=torch.cat([part.embeds for part in parts]),
        frame_indices=torch.cat([part.frame_indices for part in parts]),
        pts_seconds=torch.cat([part.pts_seconds for part in parts]),
        is_cone=torch.cat([part.is_cone for part in parts]),
        lengths=torch.cat([part.lengths for part in parts]),
        scores=torch.cat([part.scores for part in parts]),
    )
