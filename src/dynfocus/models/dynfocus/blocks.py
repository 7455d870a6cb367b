"""Videos of different lengths side by side, and the blocks that show them.

A block is one run of video tokens in a prompt. Several blocks may show one video.

Letters: V videos, B blocks, T frames of the longest, P event tokens, M spatial
prototypes, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from dynfocus.focus import EventPrototypes, TimePrototypes, VideoFeatures

EncodedFrames: TypeAlias = tuple[Tensor, Tensor, Tensor | None]
_Batch = TypeVar("_Batch", "VideoBatch", TimePrototypes)


@dataclass(frozen=True, kw_only=True)
class VideoBatch:
    """Hold several videos, padded to the longest."""

    pooled: Tensor | None
    """``[V, T, P, D]``; None if a video brings its event prototypes alone."""
    spatial: Tensor
    """``[V, T, M, D]``."""
    pts_seconds: Tensor
    """``[V, T]``."""
    num_frames: Tensor
    """``[V]``, int64."""
    mask: Tensor
    """True at real frames, ``[V, T]``."""

    def take(self, owners: Sequence[int]) -> VideoBatch:
        """Give the video of each block, in the order of the blocks."""
        if list(owners) == list(range(len(self.mask))):
            return self
        return _take(self, torch.tensor(owners, device=self.mask.device))


def join_frames(
    parts: Sequence[EncodedFrames], pts_seconds: Tensor | Sequence[float]
) -> VideoFeatures:
    """Join the encoded windows of one video.

    Args:
        parts: Pooled patches, spatial prototypes and, where kept, patches of each
            window, in time order.
        pts_seconds: Presentation time of every frame, shape ``[T]``.

    Returns:
        The question-independent half, without event prototypes.
    """
    if not parts:
        raise ValueError("a video must have at least one frame, got none")
    pooled, spatial, patches = zip(*parts, strict=True)
    times = torch.as_tensor(pts_seconds, dtype=torch.float64)
    return VideoFeatures(
        pooled=torch.cat(pooled),
        spatial=torch.cat(spatial),
        pts_seconds=times.to(pooled[0].device),
        patches=None if patches[0] is None else torch.cat(patches),
    )


def split_videos(packed: VideoFeatures, counts: Sequence[int]) -> list[VideoFeatures]:
    """Cut packed frames into videos of so many frames each."""
    starts = torch.tensor([0, *counts]).cumsum(0).tolist()
    return [
        packed.take(torch.arange(start, stop))
        for start, stop in zip(starts, starts[1:], strict=False)
    ]


def pad_videos(videos: Sequence[VideoFeatures]) -> VideoBatch:
    """Put videos side by side; one video alone is not copied."""
    device = videos[0].spatial.device
    pooled = [video.pooled for video in videos if video.pooled is not None]
    num_frames = torch.tensor([v.num_frames for v in videos], device=device)
    positions = torch.arange(max(v.num_frames for v in videos), device=device)
    return VideoBatch(
        pooled=_pad(pooled) if len(pooled) == len(videos) else None,
        spatial=_pad([video.spatial for video in videos]),
        pts_seconds=_pad([video.pts_seconds for video in videos]),
        num_frames=num_frames,
        mask=positions < num_frames.unsqueeze(1),
    )


def _pad(tensors: list[Tensor]) -> Tensor:
    if len(tensors) == 1:
        return tensors[0].unsqueeze(0)
    return pad_sequence(tensors, batch_first=True)


def block_prototypes(
    events: EventPrototypes,
    batch: VideoBatch,
    videos: Sequence[VideoFeatures],
    owners: Sequence[int],
) -> TimePrototypes:
    """Give the event prototypes of the video of each block.

    Videos that bring their prototypes along are not clustered again.

    Args:
        events: The module that estimates them.
        batch: The videos side by side.
        videos: The same videos.
        owners: The video of each block.

    Returns:
        The prototypes, one entry a block.
    """
    is_known = all(video.prototypes is not None for video in videos)
    if batch.pooled is not None and not is_known:
        prototypes = events.estimate(batch.pooled, batch.mask)
    else:
        prototypes = _pad_prototypes([_own_prototypes(events, v) for v in videos])
    if list(owners) == list(range(len(videos))):
        return prototypes
    return _take(prototypes, torch.tensor(owners, device=batch.mask.device))


def _own_prototypes(events: EventPrototypes, video: VideoFeatures) -> TimePrototypes:
    """Give the prototypes that a video brings along, or estimate them."""
    if video.prototypes is not None:
        return video.prototypes
    assert video.pooled is not None  # checked by VideoFeatures
    mask = torch.ones(1, video.num_frames, dtype=torch.bool, device=video.pooled.device)
    return events.estimate(video.pooled[None], mask)


def _pad_prototypes(prototypes: Sequence[TimePrototypes]) -> TimePrototypes:
    """Put the prototypes of several videos side by side, padded to the longest."""
    if len(prototypes) == 1:
        return prototypes[0]

    def side_by_side(tensors: list[Tensor], filler: float) -> Tensor:
        return pad_sequence(tensors, batch_first=True, padding_value=filler)

    return TimePrototypes(
        features=side_by_side([p.features[0] for p in prototypes], 0),
        frames=side_by_side([p.frames[0] for p in prototypes], -1),
        mask=side_by_side([p.mask[0] for p in prototypes], 0),
        assignment=side_by_side([p.assignment[0] for p in prototypes], -1),
    )


def _take(batch: _Batch, rows: Tensor) -> _Batch:
    """Index every tensor of a dataclass along its first dimension."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    taken: dict[str, Any] = {
        name: None if value is None else value[rows] for name, value in values.items()
    }
    return replace(batch, **taken)
