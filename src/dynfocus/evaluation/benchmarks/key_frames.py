"""Whether chosen frames show the evidence: the metrics of KFS-Bench and LV-Haystack."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynfocus.evaluation.benchmarks.benchmark import Figure
from dynfocus.evaluation.metrics import Estimate, Record, accuracy

Interval = tuple[float, float]
TOLERANCE_SECONDS = 5.0
"""How far a frame may be from a key frame of LV-Haystack."""
_FLOOR = 0.01
_POWERS = tuple(power / 10 for power in range(11))
_TAP = 11
_SIGMA = 1.5
_STEADY = (0.01**2, 0.03**2)


@dataclass(frozen=True, kw_only=True)
class KeyFrameScore:
    """The score of one item of KFS-Bench; every figure from 0 to 1."""

    hit_rate: float
    """KFR: the share of chosen frames that lie in any scene."""
    scene_rate: float
    """SHR: the share of scenes that are hit."""
    balanced: float
    """BSR: the share of scenes that are hit as often as their length and number ask."""
    distribution: float
    """BDS: how well hits follow the lengths of scenes, for the best power of them."""

    @property
    def unified(self) -> float:
        """UKSS: the geometric mean of hit rate, balance and distribution."""
        return float((self.hit_rate * self.balanced * self.distribution) ** (1 / 3))


def score_key_frames(
    times: Sequence[float], scenes: Sequence[Interval]
) -> KeyFrameScore:
    """Score the frames chosen for one item, as the code of KFS-Bench does.

    Args:
        times: Times of the chosen frames in seconds.
        scenes: The scenes that show the evidence, half-open; KFS-Bench's own files end a
            second before.

    Raises:
        ValueError: There are no scenes.
    """
    if not scenes:
        raise ValueError("an item needs at least one scene, got none")
    hits = np.array([sum(a <= time < b for time in times) for a, b in scenes], float)
    inside = sum(any(a <= time < b for a, b in scenes) for time in times)
    lengths = np.array([end - start for start, end in scenes], float)
    shares = lengths / lengths.sum()
    wanted = [
        max(1, math.floor(min(share * inside, inside / len(scenes))))
        for share in shares
    ]
    return KeyFrameScore(
        hit_rate=inside / len(times) if times else 0.0,
        scene_rate=float((hits > 0).mean()),
        balanced=float(np.mean(hits >= np.array(wanted))),
        distribution=max(_cosine(hits, lengths**power) for power in _POWERS),
    )


def _cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return min(1.0, float(one @ other) / norms) if norms else 0.0


def unified_score(scores: Sequence[KeyFrameScore]) -> float:
    """Give the score of a data set: the geometric mean of items, none below 0.01."""
    if not scores:
        raise ValueError("a score needs at least one item, got none")
    return math.exp(
        sum(math.log(max(_FLOOR, one.unified)) for one in scores) / len(scores)
    )


def temporal_f1(
    chosen: Sequence[float],
    true: Sequence[float],
    tolerance: float = TOLERANCE_SECONDS,
) -> tuple[float, float, float] | None:
    """Compare chosen moments with key frames, as LV-Haystack does.

    Args:
        chosen: Times of the chosen frames in seconds.
        true: Times of the key frames.
        tolerance: How far one may be from the other.

    Returns:
        Precision, recall and F1; None where one side is empty, which is skipped.
    """
    if not chosen or not true:
        return None
    apart = np.abs(np.subtract.outer(np.array(chosen), np.array(true)))  # [C, K]
    precision = float((apart.min(1) <= tolerance).mean())
    recall = float((apart.min(0) <= tolerance).mean())
    return precision, recall, _harmonic(precision, recall)


def _harmonic(one: float, other: float) -> float:
    return 2 * one * other / (one + other) if one + other else 0.0


def mean_temporal_f1(
    items: Sequence[tuple[float, float, float] | None],
) -> tuple[float, float, float]:
    """Average items, without those that are skipped; F1 is the mean of their F1."""
    found = [item for item in items if item is not None]
    if not found:
        return 0.0, 0.0, 0.0
    precision, recall, f1 = np.mean(found, axis=0)
    return float(precision), float(recall), float(f1)


def key_frame_figures(records: Sequence[Record]) -> list[Figure]:
    """Measure the frames that were read finely, where the times of evidence are known.

    Args:
        records: Records with ``evidence`` and ``fine_times``; others are left out.

    Returns:
        KFR, SHR, BSR and BDS as means, UKSS of the set, and the temporal F1 with the
        middles of the evidence as key frames; nothing where no record tells both.
    """
    known = [r for r in records if r.get("evidence") and "fine_times" in r]
    if not known:
        return []
    size = len(known)
    found = [
        score_key_frames(r["fine_times"], [(a, b) for a, b in r["evidence"]])
        for r in known
    ]
    means = {
        "KFR": [one.hit_rate for one in found],
        "SHR": [one.scene_rate for one in found],
        "BSR": [one.balanced for one in found],
        "BDS": [one.distribution for one in found],
    }
    figures = [
        Figure(
            label=f"Key frames, {name}",
            estimate=accuracy(
                [{**r, "right": v} for r, v in zip(known, values, strict=True)]
            ),
            num_questions=size,
            is_beside=True,
        )
        for name, values in means.items()
    ]
    middles = [[(a + b) / 2 for a, b in r["evidence"]] for r in known]
    times = [r["fine_times"] for r in known]
    _, _, f1 = mean_temporal_f1(list(map(temporal_f1, times, middles)))
    for name, value in (("UKSS", unified_score(found)), ("F1 within 5 s", f1)):
        estimate = Estimate(100 * value)
        label = f"Key frames, {name}"
        figures.append(
            Figure(label=label, estimate=estimate, num_questions=size, is_beside=True)
        )
    return figures


def structural_similarity(
    one: NDArray[np.float64], other: NDArray[np.float64]
) -> float:
    """Measure SSIM of two pictures with an 11 x 11 Gaussian, over all channels.

    Args:
        one: A picture, ``[H, W, 3]`` from 0 to 1.
        other: Another of the same size.
    """
    low, high = _STEADY
    mean, other_mean = _blur(one), _blur(other)
    spread = _blur(one * one) - mean**2
    other_spread = _blur(other * other) - other_mean**2
    shared = _blur(one * other) - mean * other_mean
    likeness = (2 * mean * other_mean + low) * (2 * shared + high)
    scale = (mean**2 + other_mean**2 + low) * (spread + other_spread + high)
    return float((likeness / scale).mean())


def _blur(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blur with zeros beyond the edges, so that the size stays."""
    reach = np.arange(_TAP) - _TAP // 2
    taps = np.exp(-(reach**2) / (2 * _SIGMA**2))
    taps = taps / taps.sum()
    for axis in (0, 1):
        picture = np.apply_along_axis(np.convolve, axis, picture, taps, mode="same")
    return picture


def visual_scores(
    pairs: Sequence[NDArray[np.float64]],
) -> tuple[float, float, float]:
    """Average the likeness of chosen and true frames over items.

    Args:
        pairs: SSIM of each chosen with each true frame, ``[C, K]``, an entry an item.

    Returns:
        Precision, recall, and the harmonic mean of these two averages.
    """
    whole = [one for one in pairs if one.size]
    if not whole:
        return 0.0, 0.0, 0.0
    precision = float(np.mean([one.max(1).mean() for one in whole]))
    recall = float(np.mean([one.max(0).mean() for one in whole]))
    return precision, recall, _harmonic(precision, recall)
