"""What the comparison of systems adds to its table: gains, and recall of the evidence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from dynfocus.evaluation.benchmarks.focusworld import evidence_seen
from dynfocus.evaluation.experiments.ablations import BASE, EXPERIMENTS
from dynfocus.evaluation.experiments.plans import Plan, TestSet
from dynfocus.evaluation.experiments.tables import (
    Records,
    accuracy,
    evidence_recall,
    of_set,
)
from dynfocus.focus import EventPrototypes, FocusSettings, dpc_knn, uniform_indices
from dynfocus.methods import VideoPatches
from dynfocus.models.loading import load_parts
from dynfocus.training.patches import PatchCache
from dynfocus.world import make_questions

OURS = {"question": "(g)", "rated": "(g+)"}
"""The arms that the others are compared with: DynFocus with the question in the score,
learned from answers alone, and taught beforehand which frames show them."""

Recall = dict[str, dict[str, tuple[float, float]]]


def compare_systems(records: Records, plan: Plan) -> list[str]:
    """Write what follows the table of the comparison: gains and recall, as Markdown."""
    recall = selection_lines(records, plan, recall_without_training(plan))
    return [*gains(records, plan), *savings(records, plan), *recall]


def gains(records: Records, plan: Plan) -> list[str]:
    """Compare our arms with each other one: tokens, time and accuracy, as Markdown."""
    return [
        line
        for test, (name, letter) in product(plan.sets, OURS.items())
        for line in _gain_table(records, name, letter, test, test)
    ]


def savings(records: Records, plan: Plan) -> list[str]:
    """Compare our last arm within a budget with each other one without, as Markdown."""
    whole = {test.name: test for test in plan.sets if test.max_tokens is None}
    return [
        line
        for test in plan.sets
        if test.max_tokens is not None and test.name in whole
        for line in _gain_table(
            records, *list(OURS.items())[-1], test, whole[test.name]
        )
    ]


def _gain_table(
    records: Records, name: str, letter: str, own: TestSet, other: TestSet
) -> list[str]:
    """Compare one of our arms on a test set with each other one on another."""
    ours = of_set(records[name], own.title)
    against = "" if own == other else "with all tokens "
    lines = [
        f"| {own.title}: {letter} against {against}| tokens | speed, first question "
        "| speed, further ones | needle | mean |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for arm in EXPERIMENTS["methods"].arms:
        if arm.name != name:
            theirs = of_set(records[arm.name], other.title)
            lines.append(f"| {arm.label} | {_gain(ours, theirs)} |")
    return [*lines, ""]


def _gain(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> str:
    tokens = fmean(r["tokens"] for r in ours) / fmean(r["tokens"] for r in theirs)
    first = _first_seconds(theirs) / _first_seconds(ours)
    further = fmean(r["seconds"] for r in theirs) / fmean(r["seconds"] for r in ours)
    points = []
    for kind in ("needle", ""):
        own, other = accuracy(ours, kind), accuracy(theirs, kind)
        known = own is not None and other is not None
        points.append(f"{own.mean - other.mean:+.1f}" if known else "-")  # type: ignore[union-attr]
    return f"{tokens:.2f} x | {first:.2f} x | {further:.2f} x | {' | '.join(points)}"


def _first_seconds(records: Sequence[dict[str, Any]]) -> float:
    return fmean(r["seconds"] + r["prepare_seconds"] for r in records)


def selection_lines(records: Records, plan: Plan, baselines: Recall) -> list[str]:
    """Set the recall of the evidence of four selections side by side, as Markdown.

    Args:
        records: The records of the comparison.
        plan: What its arms shared.
        baselines: What `recall_without_training` gave.
    """
    head = ["evidence recall, % (frames that are Cones, %)"]
    head += [test.title for test in plan.sets]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * len(plan.sets)]
    rows = {name: dict(found) for name, found in baselines.items()}
    learned = {
        "base": "(f) DynFocus",
        "question": "(g) with the question",
        "rated": "(g+) frames rated by the question",
    }
    for name, label in learned.items():
        own = {
            t.title: evidence_recall(of_set(records[name], t.title)) for t in plan.sets
        }
        rows[label] = {key: value for key, value in own.items() if value is not None}
    for label, found in rows.items():
        cells = [
            f"{found[t.title][0]:.0f} ({found[t.title][1]:.1f})" for t in plan.sets
        ]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def recall_without_training(plan: Plan) -> Recall:
    """Measure two selections that learn nothing, with as many frames as DynFocus keeps.

    Returns:
        Recall and share of frames, in percent, for uniform frames and for the densest
        and most distant centres of T-DPC (Eq. 4), of each test set.
    """
    start, processor = load_parts(plan.start, device="cpu", dtype=torch.float32)
    cache = PatchCache(plan.patches, start, processor, plan.fps)
    settings = FocusSettings.from_dict(BASE)
    seen: dict[str, dict[str, list[tuple[bool, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for test in plan.sets:
        for address in test.addresses():
            cache.fill([str(address)])
            video = cache.load(str(address))
            chosen = choose_frames(video, settings)
            for question in make_questions(address.scene(), plan.max_per_kind):
                if question.kind not in plan.kinds or not question.evidence:
                    continue
                for name, frames in chosen.items():
                    times = video.pts_seconds[frames].tolist()
                    share = len(frames) / video.num_frames
                    hit = bool(evidence_seen(question, times))
                    seen[name][test.title].append((hit, share))
    return {
        name: {
            test: (100 * fmean(h for h, _ in hits), 100 * fmean(s for _, s in hits))
            for test, hits in tests.items()
        }
        for name, tests in seen.items()
    }


def choose_frames(video: VideoPatches, settings: FocusSettings) -> dict[str, Tensor]:
    """Choose as many frames as DynFocus keeps, without any learned weight.

    Returns:
        Increasing frames of ``uniform frames`` and ``T-DPC alone``.
    """
    count = settings.num_cones_for(video.num_frames)
    uniform = uniform_indices(video.num_frames, count)
    events = EventPrototypes(settings, video.patches.shape[2], 1)
    points = events.pool(video.patches).flatten(1)[None]
    clusters = dpc_knn(
        points,
        settings.num_prototypes_for(video.num_frames),
        settings.num_temporal_neighbors,
    )
    densest = clusters.centers[0, :count].sort().values
    return {"uniform frames": uniform, "T-DPC alone": densest}
