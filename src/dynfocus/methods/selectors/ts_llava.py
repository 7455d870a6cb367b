"""TS-LLaVA's frames: many even ones small, a few of them larger, as in a thumbnail.

Source: "TS-LLaVA: Constructing Visual Tokens through Thumbnail-and-Sampling for
Training-Free Video Large Language Models" (2024) and its published code. Of 50 even frames
every tenth token is kept; 6 of the 50 are also tiled into one picture of a frame's size.
The whole is 2880 + 576 tokens, those of 6 frames.

Letters: T frames, K frames to choose, as the area of so many whole ones.
"""

from __future__ import annotations

import numpy as np

from dynfocus.focus import uniform_indices
from dynfocus.methods.selectors.interface import Selection, SelectorInput, spread

_FRAMES, _TILES, _WHOLE = 50, 6, 6
_SAMPLED = 0.1
"""Share of a frame's tokens that is kept."""
_TILED = 1 / _TILES
"""Share of a frame that a tile is."""


def choose_ts_llava(given: SelectorInput, num_keep: int) -> Selection:
    """Choose many even frames small and some of them larger (TS-LLaVA).

    The question has no say.

    Differs from the paper:
        The numbers go with the budget in the published proportions. The tokens of a frame
        are merged to as many, where TS-LLaVA takes every tenth of all and shows tiles in
        a picture of their own: a frame of both stands once, with the tokens of both.

    Args:
        given: The frames, ``T`` of them.
        num_keep: Their area in whole frames, ``K``.
    """
    num_frames = min(given.num_frames, int(num_keep * _FRAMES / _WHOLE))
    num_tiles = min(num_frames, num_keep * _TILES // _WHOLE)
    sampled = (num_keep - num_tiles * _TILED) / num_frames
    even = uniform_indices(given.num_frames, num_frames).numpy()
    tiles = np.linspace(0, num_frames - 1, num_tiles).round().astype(int)
    area = np.full(num_frames, max(_SAMPLED, min(sampled, 1.0)))
    area[tiles] = np.minimum(area[tiles] + _TILED, 1.0)
    area *= min(1.0, num_keep / area.sum())
    return spread(given, even, scale=np.sqrt(area))
