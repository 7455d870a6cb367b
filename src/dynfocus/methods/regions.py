"""Frames and their regions beside a question, as a dual encoder sees them.

Letters: T frames, S steps, F frames of a step, N tokens a step, R regions, C width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dynfocus.methods.scorers import FrameScorer

REGION_SIDE = 3
"""A frame is seen whole and in 3 x 3 regions."""
TEMPERATURE = 0.02
"""Difference of similarities that makes one weight ``e`` times another."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QuestionSimilarity:
    """How well the steps of a video and their tokens fit a question."""

    whole: Tensor
    """Similarity of each step, whole: the scorer's own cosine, ``[S]``."""
    attention: Tensor
    """Share of every token of each step, ``[S, N]``."""

    def take(self, rows: Tensor) -> QuestionSimilarity:
        """Keep some steps, given by increasing rows ``[S']``."""
        return QuestionSimilarity(
            whole=self.whole[rows], attention=self.attention[rows]
        )


def encode_regions(
    scorer: FrameScorer, frames: NDArray[np.uint8], frames_per_step: int
) -> Tensor:
    """Encode frames whole and region by region.

    Args:
        scorer: A dual encoder.
        frames: Frames of uint8, shape ``[T, H, W, 3]``.
        frames_per_step: Frames that are averaged, ``F``.

    Returns:
        Unit vectors, shape ``[S, 1 + R, C]``; the whole first, then rows of regions.
    """
    views = [frames, *_regions(frames)]
    seen = torch.stack(
        [torch.from_numpy(scorer.encode_frames(view)) for view in views], dim=1
    )
    steps = [part.mean(0) for part in torch.split(seen, frames_per_step)]
    return F.normalize(torch.stack(steps), dim=2)


def compare_regions(
    scorer: FrameScorer,
    regions: Tensor | None,
    question: str,
    *,
    grid: tuple[int, int],
    num_front: int,
) -> QuestionSimilarity:
    """Compare an encoded video with a question.

    The tokens of a step are attended by the softmax of the similarity of their region,
    bilinear between the regions' centres, at a temperature of 0.02.

    Args:
        scorer: The dual encoder.
        regions: What `encode_regions` gave.
        question: The question.
        grid: Rows and columns of the tokens of a step.
        num_front: Tokens of a step before its grid; they get no attention.

    Raises:
        ValueError: The video was encoded without a scorer.
    """
    if regions is None:
        raise ValueError(
            "the video was encoded without a scorer; index it anew with the model that "
            "has one"
        )
    words = torch.from_numpy(scorer.encode_text(question))
    similar = regions @ words.to(regions)  # [S, 1 + R]
    square = similar[:, 1:].view(-1, 1, REGION_SIDE, REGION_SIDE)
    tokens = F.interpolate(square, grid, mode="bilinear").flatten(1)
    attention = (tokens / TEMPERATURE).softmax(1)
    return QuestionSimilarity(
        whole=similar[:, 0], attention=F.pad(attention, (num_front, 0))
    )


def _regions(frames: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Cut frames into regions, row by row; tiny frames overlap by a pixel."""
    height, width = frames.shape[1:3]

    def cut(length: int, index: int) -> slice:
        start = index * length // REGION_SIDE
        return slice(start, max(start + 1, (index + 1) * length // REGION_SIDE))

    return [
        np.ascontiguousarray(frames[:, cut(height, row), cut(width, column)])
        for row in range(REGION_SIDE)
        for column in range(REGION_SIDE)
    ]
