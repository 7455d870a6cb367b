"""OCSampler's policy: the best of a few even frames, in a single step.

Source: "OCSampler: Compressing Videos to One Clip with Single-step Sampling" (CVPR 2022)
and its published code. 10 even frames get the softmax of a policy; in use the 6 most
likely are taken, in order of time.

Letters: T frames, K frames to choose.
"""

from __future__ import annotations

from dynfocus.focus import uniform_indices
from dynfocus.methods.selectors.interface import (
    Selection,
    SelectorInput,
    best_first,
    min_max,
)

_CANDIDATES = 10 / 6
"""Frames that are looked at for each that is taken."""


def choose_ocsampler(given: SelectorInput, num_keep: int) -> Selection:
    """Choose the best of five thirds as many even frames (OCSampler, untrained).

    Differs from the paper:
        Its policy is learned by reinforcement from a classifier's confidence. Here the
        similarity to the question is the policy, whose softmax keeps the order. Only the
        candidates are scored.

    Args:
        given: The frames, ``T`` of them.
        num_keep: Frames to choose, ``K``.
    """
    count = min(given.num_frames, int(num_keep * _CANDIDATES + 0.5))
    even = uniform_indices(given.num_frames, max(count, num_keep)).numpy()
    scores = given.score(even)
    best = best_first(scores)[:num_keep]
    return Selection.of(even[best], importance=min_max(scores)[best])
