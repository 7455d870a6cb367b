"""Evidence recall: does a frame that shows the answer become a Cone?

Only a world with known truth can tell. For each question the event prototypes are put in
the order in which a selection would keep them; the first whose frame lies in the
evidence says how many Cones it takes. The language model is not asked, so hour-long videos
cost a minute.

Letters: T frames, L prototypes, K Cones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from dynfocus.evaluation.benchmarks.focusworld import evidence_seen
from dynfocus.evaluation.experiments.plans import TestSet
from dynfocus.focus import (
    EventPrototypes,
    TimePrototypes,
    VideoFeatures,
    dpc_knn,
    uniform_indices,
)
from dynfocus.models.dynfocus import DynFocusForConditionalGeneration, DynFocusProcessor
from dynfocus.models.loading import load_parts
from dynfocus.training.features import FeatureCache
from dynfocus.world import WorldQuestion, make_questions

UNIFORM = "even frames"
CLUSTERING = "T-DPC alone"

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class RecallPlan:
    """Which selections are compared on which videos."""

    models: Mapping[str, str]
    """Models by the name that the table gives them; all with one vision tower."""
    sets: tuple[TestSet, ...]
    num_cones: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    """Numbers of Cones, K."""
    num_prototypes: tuple[int, ...] = (32,)
    """Numbers of event prototypes, L."""
    max_per_kind: int = 3
    """Questions of a kind a video."""
    fps: float = 1.0
    cache: str = "runs/recall"
    """Folder of encoded videos."""

    def __post_init__(self) -> None:
        for name in ("models", "sets", "num_cones", "num_prototypes"):
            if not getattr(self, name):
                raise ValueError(f"{name} must hold at least one entry, got none")
        if min(self.num_cones) < 1 or min(self.num_prototypes) < 1:
            raise ValueError(
                "num_cones and num_prototypes must be 1 or more, got "
                f"{self.num_cones} and {self.num_prototypes}"
            )


def measure_recall(plan: RecallPlan, progress: Progress) -> list[dict[str, Any]]:
    """Ask every selection about every question, one record each.

    Returns:
        Records with ``set``, ``selection``, ``num_prototypes``, ``kind``, ``num_frames``
        and ``hits``, which says for each number of Cones whether one lies in the evidence.
    """
    loaded = {
        name: load_parts(source, device="cpu", dtype=torch.float32)
        for name, source in plan.models.items()
    }
    cache = FeatureCache(plan.cache, *next(iter(loaded.values())), plan.fps)
    records = []
    for test in plan.sets:
        for number, address in enumerate(test.addresses()):
            progress(f"{test.name}: video {number + 1} of {test.num_videos}")
            questions = [
                q
                for q in make_questions(address.scene(), plan.max_per_kind)
                if q.evidence
            ]
            cache.fill([{"video": str(address)}])
            video = cache.load(str(address))
            for record in _ask_video(loaded, plan, video, questions):
                records.append({"set": test.name, "video": address.seed, **record})
    return records


def _ask_video(
    loaded: Mapping[str, tuple[DynFocusForConditionalGeneration, DynFocusProcessor]],
    plan: RecallPlan,
    video: VideoFeatures,
    questions: Sequence[WorldQuestion],
) -> Iterator[dict[str, Any]]:
    for num_prototypes in plan.num_prototypes:
        orders = _orders(loaded, video, num_prototypes, questions)
        for selection, frames in orders.items():
            for question, order in zip(questions, frames, strict=True):
                yield {
                    "selection": selection,
                    "num_prototypes": num_prototypes,
                    "kind": question.kind,
                    "num_frames": video.num_frames,
                    "hits": _hits(question, video, order, plan.num_cones),
                }
    for question in questions:
        spread = [
            uniform_indices(video.num_frames, min(k, video.num_frames))
            for k in plan.num_cones
        ]
        yield {
            "selection": UNIFORM,
            "num_prototypes": 0,
            "kind": question.kind,
            "num_frames": video.num_frames,
            "hits": [
                bool(evidence_seen(question, video.pts_seconds[frames].tolist()))
                for frames in spread
            ],
        }


def _hits(
    question: WorldQuestion,
    video: VideoFeatures,
    order: Tensor,
    num_cones: Sequence[int],
) -> list[bool]:
    times = video.pts_seconds[order].tolist()
    return [bool(evidence_seen(question, times[:k])) for k in num_cones]


@torch.inference_mode()
def _orders(
    loaded: Mapping[str, tuple[DynFocusForConditionalGeneration, DynFocusProcessor]],
    video: VideoFeatures,
    num_prototypes: int,
    questions: Sequence[WorldQuestion],
) -> dict[str, list[Tensor]]:
    """Return the centre frames of the prototypes, best first, for each question."""
    assert video.pooled is not None  # encoded here, not opened from an index
    first, _ = next(iter(loaded.values()))
    settings = replace(first.settings, num_prototypes=num_prototypes, question=None)
    clusters = dpc_knn(
        video.pooled.flatten(1)[None],
        settings.num_prototypes_for(video.num_frames),
        settings.num_temporal_neighbors,
    )
    everything = torch.ones(1, video.num_frames, dtype=torch.bool)
    events = EventPrototypes(settings, video.pooled.shape[2], 1)
    shared = events.estimate(video.pooled[None], everything)
    orders = {CLUSTERING: [clusters.centers[0]] * len(questions)}
    for name, (model, processor) in loaded.items():
        orders[name] = [
            _best_first(model, processor, video, shared, q.question) for q in questions
        ]
    return orders


def _best_first(
    model: DynFocusForConditionalGeneration,
    processor: DynFocusProcessor,
    video: VideoFeatures,
    prototypes: TimePrototypes,
    question: str,
) -> Tensor:
    """Return the frames that stand for the prototypes, best first, shape ``[L]``."""
    asked = processor.qformer_tokenizer(question, return_tensors="pt")
    text = model.encode_question(asked["input_ids"], asked["attention_mask"])
    spatial = video.spatial[None]
    events = model.event_prototypes
    ratings = model.cooperative_encoding.rate(spatial, text, None)
    frames, relevance = events.frames_of(prototypes, ratings)
    centers = prototypes.at_centers(spatial)
    scores = events.rate(prototypes, centers, text, relevance=relevance)
    return frames[0][scores[0].sort(descending=True, stable=True).indices]


def summarise_recall(
    records: Sequence[dict[str, Any]], plan: RecallPlan
) -> list[dict[str, Any]]:
    """Average the records into rows, one a set, selection and number of prototypes.

    Returns:
        Rows with ``recall`` and ``share`` of frames that are Cones, one number for each
        of the plan's numbers of Cones, in percent.
    """
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for record in records:
        key = (record["set"], record["selection"], record["num_prototypes"])
        groups.setdefault(key, []).append(record)
    rows = []
    for (test, selection, num_prototypes), found in groups.items():
        most = [num_prototypes or k for k in plan.num_cones]
        counts = [min(pair) for pair in zip(plan.num_cones, most, strict=True)]
        rows.append(
            {
                "set": test,
                "selection": selection,
                "num_prototypes": num_prototypes,
                "questions": len(found),
                "recall": [
                    100 * fmean(r["hits"][i] for r in found)
                    for i in range(len(plan.num_cones))
                ],
                "share": [
                    100
                    * fmean(min(k, r["num_frames"]) / r["num_frames"] for r in found)
                    for k in counts
                ],
            }
        )
    return rows


def check_sources(models: Mapping[str, str]) -> None:
    """Refuse folders of models that are not there."""
    for name, source in models.items():
        if source != "nano" and not Path(source).is_dir():
            raise ValueError(
                f"model {name}: folder {source} does not exist; train it first, or name "
                "another"
            )
