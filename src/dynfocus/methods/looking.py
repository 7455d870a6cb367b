"""What a dual encoder makes of frames, their regions and a question.

Letters: T frames, S steps, F frames of a step, N tokens a step, R regions, C width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dynfocus.methods.selectors.training_free import QuestionLook
from dynfocus.plugins.host_video import HostVideo

REGION_SIDE = 3
"""A frame is looked at whole and in 3 x 3 regions."""
_TEMPERATURE = 0.02


class Scorer(Protocol):
    """Pictures and words in one space, such as CLIP or SigLIP."""

    def encode_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode frames of uint8, ``[T, H, W, 3]``, into unit vectors, ``[T, C]``."""

    def encode_words(self, words: str) -> NDArray[np.float32]:
        """Encode words into a unit vector, ``[C]``."""


def load_scorer(scorer: str | Path | Scorer | None) -> Scorer | None:
    """Load a dual encoder by name or folder; anything else is one already."""
    if not isinstance(scorer, str | Path):
        return scorer
    from dynfocus.methods import DualEncoder

    return DualEncoder(str(scorer))


def look_at(scorer: Scorer, frames: NDArray[np.uint8], frames_per_step: int) -> Tensor:
    """Encode frames whole and region by region.

    Args:
        scorer: The dual encoder.
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


def look_for(scorer: Scorer, video: HostVideo, question: str) -> QuestionLook:
    """Compare a video with a question.

    The relevance of a step is ``exp((similarity - best similarity) / 0.02)``, so that it
    can outweigh densities, which are exponential too. The tokens of a step are attended
    by the softmax of the similarity of their region, bilinear between the regions'
    centres, at the same temperature.

    Args:
        scorer: The dual encoder.
        video: The video; it was encoded with this scorer.
        question: The question.
    """
    if video.looks is None:
        raise ValueError(
            "the video was encoded without a scorer; index it anew with the model that "
            "has one"
        )
    words = torch.from_numpy(scorer.encode_words(question))
    similar = video.looks @ words.to(video.looks)  # [S, 1 + R]
    whole = similar[:, 0]
    relevance = ((whole - whole.max()) / _TEMPERATURE).exp()
    regions = similar[:, 1:].view(-1, 1, REGION_SIDE, REGION_SIDE)
    grid = F.interpolate(regions, video.grid, mode="bilinear").flatten(1)
    attention = (grid / _TEMPERATURE).softmax(1)
    return QuestionLook(
        similarity=whole,
        relevance=relevance,
        attention=F.pad(attention, (video.num_front, 0)),
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
