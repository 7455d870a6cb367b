"""Whether chosen frames show the evidence: the metrics of KFS-Bench and LV-Haystack."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dynfocus.evaluation.benchmarks.benchmark import Figure
from dynfocus.evaluation.metrics import Estimate, Record, accuracy

Interval = tuple[float, float]
TOLERANCE_SECONDS = 5.0
"""How far a frame may be from a key frame of LV-Haystack."""
_FLOOR = 0.01
_POWERS = tuple(power / 10 for power in range(11))


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
    times: Sequence[float], scenes: Sequence[Sequence[Interval]]
) -> KeyFrameScore:
    """Score the frames chosen for one item, as the code of KFS-Bench does.

    Args:
        times: Times of the chosen frames in seconds.
        scenes: The scenes that show the evidence, each as its stretches, half-open.

    Raises:
        ValueError: There are no scenes.
    """
    if not scenes:
        raise ValueError("an item needs at least one scene, got none")
    hits = np.array(
        [sum(_is_within(time, scene) for time in times) for scene in scenes], float
    )
    everywhere = [stretch for scene in scenes for stretch in scene]
    inside = sum(_is_within(time, everywhere) for time in times)
    lengths = np.array([sum(end - start for start, end in s) for s in scenes], float)
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


def _is_within(time: float, stretches: Sequence[Interval]) -> bool:
    return any(start <= time < end for start, end in stretches)


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


def key_frame_figures(
    records: Sequence[Record], main: Sequence[str] = ()
) -> list[Figure]:
    """Measure the frames that were read finely, where what they should show is known.

    Args:
        records: Records with ``fine_times`` and either ``evidence``, of ``scenes`` or
            each stretch its own, or ``key_times``; others are left out.
        main: Labels of figures that are among the main ones of a benchmark.

    Returns:
        Of evidence ``KFR``, ``SHR``, ``BSR`` and ``BDS`` as means and ``UKSS`` of the set;
        of key frames, by default the middles of the evidence, ``Temporal precision``,
        ``Temporal recall`` and ``Temporal F1``, and where ``likeness`` was measured
        ``Likeness precision``, ``recall`` and ``F1``, which is that of the two means.
        Nothing where no record tells both.
    """
    read = [r for r in records if "fine_times" in r]
    with_scenes = [r for r in read if _scenes(r)]
    with_moments = [r for r in read if r.get("evidence") or r.get("key_times")]
    figures = _scene_figures(with_scenes) + _moment_figures(with_moments)
    return _name_main(figures + _likeness_figures(read), main)


def _scene_figures(records: Sequence[Record]) -> list[Figure]:
    if not records:
        return []
    found = [score_key_frames(r["fine_times"], _scenes(r)) for r in records]
    means = {
        "KFR": [one.hit_rate for one in found],
        "SHR": [one.scene_rate for one in found],
        "BSR": [one.balanced for one in found],
        "BDS": [one.distribution for one in found],
    }
    whole = Figure(
        label="UKSS",
        estimate=Estimate(100 * unified_score(found)),
        num_questions=len(records),
    )
    return [whole, *(_mean(label, records, ones) for label, ones in means.items())]


def _scenes(record: Record) -> list[list[Interval]]:
    """Put the stretches of each scene together, without those that hold nothing."""
    stretches = [(start, end) for start, end in record.get("evidence", ())]
    places = record.get("scenes") or range(len(stretches))
    scenes: dict[int, list[Interval]] = {}
    for place, (start, end) in zip(places, stretches, strict=True):
        if start < end:
            scenes.setdefault(place, []).append((start, end))
    return list(scenes.values())


def _moment_figures(records: Sequence[Record]) -> list[Figure]:
    scored = [(r, temporal_f1(r["fine_times"], key_times(r))) for r in records]
    kept = [(record, found) for record, found in scored if found is not None]
    if not kept:
        return []
    names = ("Temporal precision", "Temporal recall", "Temporal F1")
    columns = zip(*(found for _, found in kept), strict=True)
    asked = [record for record, _ in kept]
    return [
        _mean(name, asked, values) for name, values in zip(names, columns, strict=True)
    ]


def _likeness_figures(records: Sequence[Record]) -> list[Figure]:
    known = [r for r in records if r.get("likeness")]
    if not known:
        return []
    columns = zip(*(r["likeness"] for r in known), strict=True)
    found = [
        _mean(f"Likeness {name}", known, values)
        for name, values in zip(("precision", "recall"), columns, strict=True)
    ]
    both = Estimate(_harmonic(*(one.estimate.value for one in found)))
    return [*found, replace(found[0], label="Likeness F1", estimate=both)]


def key_times(record: Record) -> list[float]:
    """Give the times of key frames, by default the middles of the evidence."""
    given = record.get("key_times")
    return list(given or [(a + b) / 2 for a, b in record.get("evidence", ())])


def _mean(label: str, records: Sequence[Record], values: Iterable[float]) -> Figure:
    marked = [{**r, "right": v} for r, v in zip(records, values, strict=True)]
    return Figure(label=label, estimate=accuracy(marked), num_questions=len(marked))


def _name_main(figures: Sequence[Figure], main: Sequence[str]) -> list[Figure]:
    """Tell main figures from those that stand beside others."""
    return [
        replace(one, is_main=True)
        if one.label in main
        else replace(one, label=f"Key frames, {one.label}", is_beside=True)
        for one in figures
    ]
