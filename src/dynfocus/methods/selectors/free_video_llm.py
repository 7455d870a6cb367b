"""Free Video-LLM's frames: a few relevant and a few even ones large, many small.

Source: "Free Video-LLM: Prompt-guided Visual Perception for Efficient Training-free Video
LLMs" (2024) and its published code. Of 50 even frames the 3 most similar to the question
and 5 at the left edges of equal stretches have 231 tokens, all 50 have 16: so a small
frame has a quarter of the side of a large one, and the whole is 2648 tokens.

Letters: T frames, K frames to choose, as the area of so many large ones.
"""

from __future__ import annotations

import numpy as np

from dynfocus.focus import uniform_indices
from dynfocus.methods.selectors.interface import (
    SMALL,
    Selection,
    SelectorInput,
    best_first,
    ranked,
)

_SIMILAR, _EVEN, _SMALL_FRAMES = 3, 5, 50
_LARGE_SHARE = (_SIMILAR + _EVEN) / (_SIMILAR + _EVEN + _SMALL_FRAMES * SMALL**2)
"""Share of the large frames in the whole: 0.72."""


def choose_free_video_llm(given: SelectorInput, num_keep: int) -> Selection:
    """Choose relevant and even frames large, many even ones small (Free Video-LLM).

    Differs from the paper:
        The numbers go with the budget in the published proportions. A frame stands once,
        at its larger size. Cropping large frames to a region is not part of a selector.
        Where a frame that is among the most similar is among the even ones too, the next
        similar one takes its place.

    Args:
        given: The frames, ``T`` of them.
        num_keep: Their area in large frames, ``K``.
    """
    scores = given.score()
    num_large, num_small = _counts(given.num_frames, num_keep)
    num_even = round(num_large * _EVEN / (_SIMILAR + _EVEN))
    edges = np.linspace(0, given.num_frames, num_even + 1).astype(int)[:-1]
    is_large = np.zeros(given.num_frames, bool)
    is_large[edges] = True
    order = best_first(scores)
    is_large[order[~is_large[order]][: num_large - is_large.sum()]] = True
    rest = np.flatnonzero(~is_large)
    small = rest[uniform_indices(len(rest), num_small).numpy()]
    chosen = np.concatenate([np.flatnonzero(is_large), small])
    return ranked(chosen, scores, scale=np.where(is_large[chosen], 1.0, SMALL))


def _counts(num_frames: int, num_keep: int) -> tuple[int, int]:
    """Count large and small frames; where there are too few small ones, more are large."""
    area = SMALL**2
    num_large = max(1, int(num_keep * _LARGE_SHARE))
    num_small = min(num_frames - num_large, int((num_keep - num_large) / area))
    left = num_keep - num_large - num_small * area
    num_large += int(left / (1 - area))
    return num_large, min(num_frames - num_large, int((num_keep - num_large) / area))
