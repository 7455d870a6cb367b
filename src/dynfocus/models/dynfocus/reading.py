"""Which frames of a video the language model reads, where it cannot read all.

Letters: V videos, B blocks, T frames of a video, n question tokens, D_q width of the text
features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor

from dynfocus.focus import RelevanceEncoding, VideoFeatures, VideoTokens

FrameRater: TypeAlias = Callable[[VideoFeatures, int], Tensor]
"""Tells how well each frame of a video fits the question of a block, ``[T]``, 0 to 1."""


def frame_rater(
    network: RelevanceEncoding | None, question: Tensor | None, text_mask: Tensor
) -> FrameRater | None:
    """Return what rates frames, or None where nothing can.

    Args:
        network: What rates them.
        question: The questions of all blocks, ``[B, n, D_q]``.
        text_mask: True at their real tokens, ``[B, n]``.
    """
    if network is None or question is None:
        return None
    asked = question

    @torch.no_grad()
    def rate(video: VideoFeatures, block: int) -> Tensor:
        one = slice(block, block + 1)
        ratings = network.rate(video.spatial[None], asked[one], text_mask[one])
        return ratings[0].sigmoid()

    return rate


def thin_videos(
    videos: Sequence[VideoFeatures],
    owners: Sequence[int],
    num_read: Sequence[int],
    add_prototypes: Callable[[VideoFeatures], VideoFeatures],
    rate: FrameRater | None = None,
) -> tuple[list[VideoFeatures], list[int]]:
    """Leave the frames that have tokens.

    Args:
        videos: The videos, ``V`` of them.
        owners: The video of each block, ``B`` of them.
        num_read: Frames of each video that have tokens, ``V`` of them.
        add_prototypes: Estimates the event prototypes of a video that has none.
        rate: Rates the frames; without it the choice looks at no question.

    Returns:
        The thinned videos and the video of each block. With ``rate`` there is one video
        a block as soon as one is too long.
    """
    videos, owners = list(videos), list(owners)
    pairs = list(zip(videos, num_read, strict=True))
    if all(count == video.num_frames for video, count in pairs):
        return videos, owners
    whole = [
        video
        if video.prototypes or count == video.num_frames
        else add_prototypes(video)
        for video, count in pairs
    ]
    if rate is None:
        thinned = [v.thin(count) for v, count in zip(whole, num_read, strict=True)]
        return thinned, owners
    thinned = [
        whole[owner].thin(num_read[owner], rate(whole[owner], block))
        if num_read[owner] < whole[owner].num_frames
        else whole[owner]
        for block, owner in enumerate(owners)
    ]
    return thinned, list(range(len(owners)))


def number_frames(tokens: VideoTokens, frame_indices: Tensor | None) -> VideoTokens:
    """Call the frames of a thinned video by their places among all that were sampled.

    Args:
        tokens: The tokens of one block.
        frame_indices: The place of each of its frames, ``[T]``; None if none was left out.
    """
    if frame_indices is None:
        return tokens
    return replace(tokens, frame_indices=frame_indices.cpu()[tokens.frame_indices])
