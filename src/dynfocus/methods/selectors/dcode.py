"""D-CoDe's frames: even ones, and those most unlike them.

Source: "D-CoDe: Scaling Image-Pretrained VLMs to Video via Dynamic Compression and
Question Decomposition" (EMNLP 2025) and its published code. ``int(rho K)`` frames are even,
from the first to the last; until there are ``K``, the frame of the lowest mean cosine to
those chosen is added. ``rho`` is 0.75 to 0.85 by benchmark; 0.85 here.

Letters: T frames, K frames to choose.
"""

from __future__ import annotations

import numpy as np

from dynfocus.methods.selectors.interface import (
    Floats,
    Indices,
    Selection,
    SelectorInput,
    spread,
)

EVEN_SHARE = 0.85
"""``rho``: that of the even frames."""


def choose_dcode(given: SelectorInput, num_keep: int) -> Selection:
    """Choose even frames and those most unlike them; the question has no say (D-CoDe).

    Differs from the paper:
        Candidates are all frames, not 36 or 50 even ones. Its merging of tokens and its
        decomposition of questions are not part of a selector.

    Args:
        given: The frames, ``T`` of them.
        num_keep: Frames to choose, ``K``.
    """
    return spread(given, even_and_unlike(given.directions(), num_keep))


def even_and_unlike(
    vectors: Floats, num_keep: int, *, even_share: float = EVEN_SHARE
) -> Indices:
    """Choose even frames, then those of the lowest mean cosine to all chosen so far.

    Args:
        vectors: Unit vectors, ``[T, D]``.
        num_keep: Frames to choose, ``K``, at most ``T``.
        even_share: Share of the even ones.

    Returns:
        Increasing frames, ``[K]``.
    """
    num_even = max(1, int(num_keep * even_share))
    chosen = np.linspace(0, len(vectors) - 1, num_even).astype(int).tolist()
    like = vectors @ vectors[chosen].sum(0)  # the sum has the order of the mean
    like[chosen] = np.inf
    while len(chosen) < num_keep:
        pick = int(like.argmin())
        chosen.append(pick)
        like += vectors @ vectors[pick]
        like[pick] = np.inf
    return np.sort(np.array(chosen, np.int64))
