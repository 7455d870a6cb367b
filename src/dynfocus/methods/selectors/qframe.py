r"""Q-Frame: frames drawn by their relevance, in three sizes, without training.

Source: "Q-Frame: Query-aware Frame Selection and Multi-Resolution Adaptation for
Video-LLMs" (ICCV 2025) and its published code. With the scores ``z`` of all frames

.. math::
    g_i = \log\operatorname{softmax}(z / \tau)_i - \log(-\log u_i), \qquad u_i \sim U(0, 1)

frames are ordered by falling ``g``: the first ``H`` are large, the next ``M`` have half
their side, the next ``L`` a quarter. Tokens go with the area, so ``H + M / 4 + L / 16`` is
the budget: 8 for the published 4, 8 and 32.

Letters: T frames, K frames to choose, as the area of so many large ones.
"""

from __future__ import annotations

import numpy as np

from dynfocus.methods.selectors.interface import (
    Floats,
    Indices,
    Selection,
    SelectorInput,
    ranked,
)

LOGIT_SCALE = 100.0
"""What turns a cosine into a logit, as in CLIP."""
TEMPERATURE = 0.8
"""``tau``, for logits."""
_SIDES = np.array([1.0, 0.5, 0.25])


def choose_qframe(given: SelectorInput, num_keep: int) -> Selection:
    """Draw frames of three sizes (Q-Frame).

    Differs from the paper:
        Its temperature belongs to products of vectors that are not normalised; cosines
        are scaled by 100 first, without which the draw would not see the question. What
        is drawn depends on the question and the times alone, not on the run. Where there
        are fewer frames than the sizes want, frames become larger instead.

    Args:
        given: The frames, ``T`` of them.
        num_keep: Their area in large frames, ``K``.
    """
    scores = given.score()
    order = draw_without_replacement(
        scores * (LOGIT_SCALE / TEMPERATURE), given.generator()
    )
    counts = tiers(given.num_frames, num_keep)
    scale = np.repeat(_SIDES, counts)
    return ranked(order[: len(scale)], scores, scale=scale)


def draw_without_replacement(logits: Floats, generator: np.random.Generator) -> Indices:
    """Order frames as if drawn one by one by the softmax of logits ``[T]`` (Gumbel)."""
    noise = generator.gumbel(size=len(logits))
    return np.argsort(-(logits + noise), kind="stable")


def tiers(num_frames: int, num_keep: int) -> tuple[int, int, int]:
    """Count the frames of each size: a half of the budget, a quarter and a quarter.

    Args:
        num_frames: Frames there are, ``T``, more than ``K``.
        num_keep: The budget, ``K``.
    """
    high, middle, low = max(1, num_keep // 2), num_keep, 4 * num_keep
    left = 16 * num_keep  # sixteenths of a large frame
    high = min(high, num_frames)
    middle = min(middle, num_frames - high, (left - 16 * high) // 4)
    low = min(low, num_frames - high - middle, left - 16 * high - 4 * middle)
    left -= 16 * high + 4 * middle + low
    grown = min(low, left // 3)
    middle, low, left = middle + grown, low - grown, left - 3 * grown
    grown = min(middle, left // 12)
    high, middle, left = high + grown, middle - grown, left - 12 * grown
    return high, middle, low
