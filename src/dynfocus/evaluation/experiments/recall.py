"""Evidence recall: does a frame that shows the answer become a Cone?

Only a world with known truth can tell. For each question the event prototypes are put in
the order in which a selection would keep them; the first whose frame lies in the
evidence says how many Cones it takes. The language model is not asked, so hour-long videos
cost a minute.

Letters: T frames, L prototypes, K Cones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dynfocus.evaluation.benchmarks.focusworld import WorldBenchmark, evidence_seen
from dynfocus.evaluation.metrics import Estimate, accuracy
from dynfocus.evaluation.pages import Document, Layout, Line, draw_lines, table
from dynfocus.focus import (
    EventBatch,
    EventPrototypes,
    VideoFeatures,
    dpc_knn,
    uniform_indices,
)
from dynfocus.models import LoadOptions, VideoModel
from dynfocus.models.loading import load_model
from dynfocus.text import plural
from dynfocus.validation import Count, checked
from dynfocus.world import WideQuestion, WorldQuestion
from dynfocus.world.conversations import render_address

UNIFORM = "even frames"
CLUSTERING = "T-DPC alone"

Progress = Callable[[str], None]


@checked
class RecallPlan:
    """Which selections are compared on which videos."""

    models: Mapping[str, str]
    """Models by the name that the table gives them; all with one vision tower."""
    sets: tuple[WorldBenchmark, ...]
    num_cones: tuple[Count, ...] = (1, 2, 4, 8, 16, 32)
    """Numbers of Cones, K."""
    num_prototypes: tuple[Count, ...] = (32,)
    """Numbers of event prototypes, L."""

    def __post_init__(self) -> None:
        for name in ("models", "sets", "num_cones", "num_prototypes"):
            if not getattr(self, name):
                raise ValueError(f"{name} must hold at least one entry, got none")


def measure_recall(plan: RecallPlan, progress: Progress) -> list[dict[str, Any]]:
    """Ask every selection about every question, one record each.

    Returns:
        Records with ``set``, ``selection``, ``num_prototypes``, ``kind``, ``num_frames``
        and ``hits``, which says for each number of Cones whether one lies in the evidence.
    """
    options = LoadOptions(device="cpu", dtype="float32", index_folder=False)
    loaded = {name: load_model(source, options) for name, source in plan.models.items()}
    encoder = next(iter(loaded.values()))
    records = []
    for test in plan.sets:
        for number, address in enumerate(test.addresses()):
            progress(f"{test.name}: video {number + 1} of {test.num_videos}")
            questions = test.world.questions(address.scene(), test.max_per_kind)
            video = encoder.index(render_address(address, test.fps)).features
            shared = {"set": test.name, "video": address.seed}
            shared["num_frames"] = video.num_frames
            records += [
                {**shared, **record}
                for record in _ask_video(
                    loaded, plan, video, [q for q in questions if q.evidence]
                )
            ]
    return records


@torch.inference_mode()
def _ask_video(
    loaded: Mapping[str, VideoModel],
    plan: RecallPlan,
    video: VideoFeatures,
    questions: Sequence[WorldQuestion | WideQuestion],
) -> Iterator[dict[str, Any]]:
    """Tell of each question which numbers of Cones show its answer."""
    even = [
        uniform_indices(video.num_frames, min(k, video.num_frames))
        for k in plan.num_cones
    ]
    orders = {
        (selection, count): order
        for count in plan.num_prototypes
        for selection, order in _orders(loaded, video, count).items()
    }
    for (selection, count), order in [*orders.items(), ((UNIFORM, 0), None)]:
        for asked in questions:
            if order is None:
                chosen = even
            else:
                frames = order(asked.question)
                chosen = [frames[:k] for k in plan.num_cones]
            times = [video.pts_seconds[frames].tolist() for frames in chosen]
            yield {
                "selection": selection,
                "num_prototypes": count,
                "kind": asked.kind,
                "hits": [bool(evidence_seen(asked.evidence, seen)) for seen in times],
            }


def _orders(
    loaded: Mapping[str, VideoModel], video: VideoFeatures, num_prototypes: int
) -> dict[str, Callable[[str], Tensor]]:
    """Return what puts the frames of the prototypes in order, best first, ``[L]``."""
    assert video.pooled is not None  # encoded here, not opened from an index
    own = next(iter(loaded.values())).model.settings
    settings = replace(own, num_prototypes=num_prototypes, question=None)
    densest = dpc_knn(
        video.pooled.flatten(1)[None],
        settings.num_prototypes_for(video.num_frames),
        settings.num_temporal_neighbors,
    ).centers[0]
    everything = torch.ones(1, video.num_frames, dtype=torch.bool)
    estimator = EventPrototypes(video.pooled.shape[2], **settings.event_arguments)
    events = estimator.estimate(video.pooled[None], everything)
    return {CLUSTERING: lambda question: densest} | {
        name: partial(_best_first, focused, video, events)
        for name, focused in loaded.items()
    }


def _best_first(
    focused: VideoModel, video: VideoFeatures, events: EventBatch, question: str
) -> Tensor:
    """Return the frames that stand for the prototypes, best first, shape ``[L]``."""
    asked = focused.processor.qformer_tokenizer(question, return_tensors="pt")
    text = focused.model.encode_question(asked["input_ids"], asked["attention_mask"])
    scores, frames, _ = focused.model.focus_network.score_events(
        events, video.spatial[None], (text, None), (text, None)
    )
    frames = events.frames if frames is None else frames
    return frames[0][scores[0].sort(descending=True, stable=True).indices]


def summarise(records: Sequence[dict[str, Any]], plan: RecallPlan) -> dict[str, Any]:
    """Make the document of a result: a row a set, selection and number of prototypes.

    Returns:
        Its ``rows`` have ``recall`` with intervals over videos and ``share`` of frames
        that are Cones, one entry for each of the plan's numbers of Cones, in percent.
    """
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for record in records:
        key = (record["set"], record["selection"], record["num_prototypes"])
        groups.setdefault(key, []).append(record)
    return {
        "kind": "recall",
        "title": "Evidence recall",
        "plan": asdict(plan),
        "rows": [
            {
                "set": test,
                "selection": selection,
                "num_prototypes": num_prototypes,
                "questions": len(found),
                "recall": [
                    asdict(accuracy([{**r, "right": r["hits"][i]} for r in found]))
                    for i in range(len(plan.num_cones))
                ],
                "share": [
                    100 * fmean(min(1, k / r["num_frames"]) for r in found)
                    for k in (min(k, num_prototypes or k) for k in plan.num_cones)
                ],
            }
            for (test, selection, num_prototypes), found in groups.items()
        ],
    }


def lay_out(document: Document) -> Layout:
    """Make the page of a result that `summarise` made."""
    plan = document["plan"]
    sets = ", ".join(
        f"{test['name']}: {plural(test['num_videos'], 'video')}, seeds from {test['seed']}, at "
        f"{test['fps']:g} fps"
        for test in plan["sets"]
    )
    body = [
        "Share of the questions (percent) for which at least one of the K frames that "
        "become Cones shows the answer; after it the 95 % interval over videos, where "
        f"there are enough. FocusWorld test videos, drawn, not decoded ({sets}). L is the "
        "number of event prototypes, of which the K best become Cones; *even frames* are "
        "K in all.",
        "",
    ]
    for test in plan["sets"]:
        body += _table(document, test)
    return Layout(body=body, picture=_draw(document))


def _table(document: Document, test: Document) -> list[str]:
    found = [row for row in document["rows"] if row["set"] == test["name"]]
    if not found:
        return []
    low, high = test["seconds"]
    counts = document["plan"]["num_cones"]
    head = [
        f"{test['name']}: {low:g} to {high:g} s, {plural(found[0]['questions'], 'question')}"
    ]
    head += ["L", *(f"K = {k}" for k in counts)]
    shares = [f"{share:.2g} %" for share in found[-1]["share"]]
    rows = [["share of all frames", "-", *shares]]
    for row in found:
        cells = [
            str(Estimate(**hit)) if _is_possible(row, k) else "-"
            for k, hit in zip(counts, row["recall"], strict=True)
        ]
        rows.append([row["selection"], str(row["num_prototypes"] or "-"), *cells])
    return table(head, rows)


def _is_possible(row: Document, num_cones: int) -> bool:
    """Tell whether a row has enough prototypes for so many Cones."""
    return num_cones <= (row["num_prototypes"] or num_cones)


def _draw(document: Document) -> Figure:
    """Draw recall over the share of frames, one panel a length of video."""
    drawn: dict[str, list[Line]] = {t["name"]: [] for t in document["plan"]["sets"]}
    for row in document["rows"]:
        count = row["num_prototypes"]
        found = [
            (share, Estimate(**hit))
            for share, hit, k in zip(
                row["share"], row["recall"], document["plan"]["num_cones"], strict=True
            )
            if _is_possible(row, k)
        ]
        label = row["selection"] + (f", L = {count}" if count else "")
        drawn[row["set"]].append(Line(label=label, points=found, is_dashed=not count))
    vertical = "questions with a Cone in the evidence, %"
    return draw_lines(drawn, "frames that are Cones, %", vertical, is_log=True)


def check_sources(models: Mapping[str, str]) -> None:
    """Refuse folders of models that are not there."""
    for name, source in models.items():
        if source != "nano" and not Path(source).is_dir():
            raise ValueError(
                f"model {name}: folder {source} does not exist; train it first, or name "
                "another"
            )
