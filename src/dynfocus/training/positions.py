"""Positions of a short sample spread as if it were long."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_MOST_GAPS = 8


def spread_positions(length: int, limit: int, rng: np.random.Generator) -> Tensor:
    """Leave gaps between the positions of a sample, so that it ends within a limit.

    The tokens stay as they are; only the distances between stretches of them grow, up to
    those of a sample of ``limit`` tokens. This is PoSE (Zhu et al., ICLR 2024) with one
    to eight gaps in place of one, of random sizes at random places.

    Args:
        length: Tokens of the sample.
        limit: The last position is below it; a longer sample gets no gap.
        rng: Draws the gaps.

    Returns:
        Positions from 0, strictly rising, shape ``[length]``.
    """
    places = np.arange(length)
    room = limit - length
    if length < 2 or room < 1:
        return torch.from_numpy(places)
    count = int(rng.integers(1, _MOST_GAPS + 1))
    total = int(rng.integers(room + 1))
    sizes = np.diff(np.sort(rng.integers(total + 1, size=count - 1)), prepend=0)
    sizes = np.append(sizes, total - sizes.sum())
    for start, size in zip(rng.integers(1, length, size=count), sizes, strict=True):
        places[start:] += size
    return torch.from_numpy(places)
