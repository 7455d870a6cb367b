r"""A.I.R.'s events: stretches that stand out of the scores, and the best frames of each.

Source: "A.I.R.: Enabling Adaptive, Iterative, and Reasoning-based Frame Selection for
Video Question Answering" (ICLR 2026), its first stage. A mixture of two normal
distributions is fitted to the scores; with

.. math::
    \theta = \max(\mu_1, \mu_2) - 0.7 \max(\sigma_1, \sigma_2)

every run of frames above ``theta`` is an event. Events less than 2 s apart are one, those
shorter than 3 s are none. Each gets frames by its length, its best ones.

Letters: T frames, K frames to choose.
"""

from __future__ import annotations

import numpy as np

from dynfocus.methods.selectors.interface import (
    Floats,
    Indices,
    Selection,
    SelectorInput,
    best_first,
    ranked,
    top_up,
)

DEVIATIONS = 0.7
NEAR_SECONDS, LEAST_SECONDS = 2.0, 3.0
_ROUNDS = 100
_TINY = 1e-9


def choose_air(given: SelectorInput, num_keep: int) -> Selection:
    """Choose the best frames of every event, by its length (A.I.R., first stage).

    Differs from the paper:
        The later stages, in which a vision language model judges frames, are not part of
        a selector, and neither is its own number of frames. Where no event is long
        enough, and where events have fewer frames than their share, the best frames of
        all follow.

    Args:
        given: The frames, ``T`` of them.
        num_keep: Frames to choose, ``K``.
    """
    scores = given.score()
    events = find_events(scores, given.times)
    lengths = np.array([len(event) for event in events])
    chosen: list[int] = []
    for event, share in zip(events, _by_length(lengths, num_keep), strict=True):
        best = event[best_first(scores[event])]
        chosen.extend(best[:share].tolist())
    return ranked(top_up(chosen, scores, num_keep), scores)


def find_events(scores: Floats, times: Floats) -> list[Indices]:
    """Find the stretches that stand out.

    Args:
        scores: Of the frames, ``[T]``.
        times: Theirs in seconds, ``[T]``.

    Returns:
        The frames of each event, in order of time.
    """
    means, deviations = fit_two_normals(scores)
    above = np.flatnonzero(scores > means.max() - DEVIATIONS * deviations.max())
    if not len(above):
        return []
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    gaps = np.diff(times[above]) - step
    is_far = (np.diff(above) > 1) & (gaps >= NEAR_SECONDS)
    parts = np.split(above, np.flatnonzero(is_far) + 1)
    runs = [np.arange(part[0], part[-1] + 1) for part in parts]
    return [r for r in runs if times[r[-1]] - times[r[0]] + step >= LEAST_SECONDS]


def fit_two_normals(scores: Floats) -> tuple[Floats, Floats]:
    """Fit a mixture of two normal distributions by expectation maximisation.

    Args:
        scores: What it is fitted to, ``[T]``.

    Returns:
        Means and deviations, ``[2]`` each. It starts from the quartiles, so that the same
        scores give the same.
    """
    spread = max(float(scores.std()), _TINY)
    means = np.quantile(scores, [0.25, 0.75])
    deviations, shares = np.full(2, spread), np.full(2, 0.5)
    for _ in range(_ROUNDS):
        apart = (scores[:, None] - means) / deviations  # [T, 2]
        log = np.log(shares) - np.log(deviations) - apart**2 / 2
        chance = np.exp(log - log.max(1, keepdims=True))
        chance /= chance.sum(1, keepdims=True)
        total = chance.sum(0) + _TINY
        before = means
        means = chance.T @ scores / total
        squared = (chance * (scores[:, None] - means) ** 2).sum(0) / total
        deviations = np.sqrt(squared) + 1e-3 * spread
        shares = total / total.sum()
        if np.abs(means - before).max() < 1e-6 * spread:
            break
    return means, deviations


def _by_length(lengths: Indices, num_keep: int) -> list[int]:
    """Share frames by length, the largest remainders first."""
    if not len(lengths):
        return []
    exact = num_keep * lengths / lengths.sum()
    shares = exact.astype(int)
    odd = best_first(exact - shares)[: num_keep - shares.sum()]
    shares[odd] += 1
    return [int(share) for share in shares]
