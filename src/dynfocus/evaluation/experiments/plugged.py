"""How much of a vision language model's accuracy remains at a part of its video tokens.

A model that reads all its tokens is asked about test videos; then the same model with
fewer, chosen in several ways. Every way has the same budget and the same encoded frames.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from dynfocus.evaluation.benchmarks.focusworld import earlier_records, evidence_seen
from dynfocus.evaluation.experiments.plans import TestSet
from dynfocus.evaluation.metrics import (
    Estimate,
    Record,
    accuracy,
    answer_constantly,
    is_right,
    paired_difference,
)
from dynfocus.evaluation.pages import Document, Layout, add_legend, panels, table
from dynfocus.index import VideoIndex
from dynfocus.models import LoadOptions, VideoModel
from dynfocus.plugins import host_type, load_host, plug
from dynfocus.validation import Count, Positive, checked
from dynfocus.world import WorldQuestion, make_questions
from dynfocus.world.conversations import WorldAddress, render_address
from dynfocus.world.questions import KINDS

FULL = "all tokens"

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to spend a budget."""

    label: str
    """What the table calls it."""
    method: str
    """As `dynfocus.plug` calls it."""
    sees_question: bool
    """Whether it has the scorer."""


WAYS = (
    Way(label="DynFocus", method="dynfocus", sees_question=True),
    Way(label="DynFocus without a scorer", method="dynfocus", sees_question=False),
    Way(label="even frames", method="uniform", sees_question=False),
    Way(label="BOLT", method="bolt", sees_question=True),
    Way(label="AKS", method="aks", sees_question=True),
)


@checked
class PluggedPlan:
    """Which model is asked, about what, with which budgets."""

    host: str
    """A folder or a hub id of a supported family."""
    sets: tuple[TestSet, ...]
    scorer: str | None = None
    """A dual encoder; without one only ways that do not look at the question are asked."""
    shares: tuple[float, ...] = (0.1, 0.25, 0.5)
    """Budgets, as shares of all tokens of a video."""
    kinds: tuple[str, ...] = (
        "needle",
        "attribute",
        "presence",
        "count",
        "order",
        "topic",
    )
    max_per_kind: Count = 2
    """Questions of a kind a video (presence: pairs)."""
    fps: Positive = 1.0
    max_frames: Count = 900
    """Frames of a video, taken evenly."""

    def __post_init__(self) -> None:
        if not self.sets or not self.shares or not self.kinds:
            raise ValueError("sets, shares and kinds must hold at least one entry each")
        for share in self.shares:
            if not 0 < share < 1:
                raise ValueError(
                    f"a share of the tokens must lie between 0 and 1, got {share:g}"
                )
        for kind in self.kinds:
            if kind not in KINDS:
                raise ValueError(
                    f"kind must be one of {', '.join(KINDS)}, got {kind!r}"
                )

    @property
    def ways(self) -> tuple[Way, ...]:
        """List the ways that this plan can ask."""
        return tuple(way for way in WAYS if self.scorer or not way.sees_question)


def measure_plugged(
    plan: PluggedPlan, answers: str | Path, progress: Progress
) -> list[dict[str, Any]]:
    """Ask everything in every way, one record an answer.

    Args:
        plan: What to ask.
        answers: JSON-lines file that grows by the answers of one video at a time; videos
            that are in it are not asked again.
        progress: Told what is being done.

    Returns:
        Records with ``set``, ``video``, ``way``, ``share``, ``kind``, ``right``,
        ``tokens``, ``seconds`` and ``evidence_seen``.
    """
    path = Path(answers)
    path.parent.mkdir(parents=True, exist_ok=True)
    stamp = asdict(plan)
    records = earlier_records(path, stamp)
    done = {(record["set"], record["video"]) for record in records}
    seeing = _load(plan)
    if not path.exists():
        path.write_text(json.dumps({"benchmark": stamp}) + "\n", encoding="utf-8")
    for test in plan.sets:
        for number, address in enumerate(test.addresses(), 1):
            if (test.name, address.seed) in done:
                continue
            progress(f"{test.name}: video {number} of {test.num_videos}")
            fresh = [
                {"set": test.name, "video": address.seed, **record}
                for record in _ask_video(seeing, plan, address)
            ]
            with path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(record) + "\n" for record in fresh)
            records += fresh
    return records


def _load(plan: PluggedPlan) -> VideoModel:
    if host_type(plan.host) is None:
        raise ValueError(
            f"{plan.host!r} is no vision language model that can be plugged: name a "
            "folder or a hub id of one, such as what recipes/hosts/llava-onevision.yaml makes"
        )
    return load_host(plan.host, LoadOptions(scorer=plan.scorer))


def _ask_video(
    seeing: VideoModel, plan: PluggedPlan, address: WorldAddress
) -> Iterator[dict[str, Any]]:
    frames = render_address(address, plan.fps)
    video = seeing.index(frames, fps=plan.fps, max_frames=plan.max_frames)
    blind = plug(seeing.model, seeing.processor)
    for question in make_questions(address.scene(), plan.max_per_kind):
        if question.kind not in plan.kinds:
            continue
        everything = video.features.num_tokens
        yield _ask(blind, video, question, "none", everything) | {
            "way": FULL,
            "share": 1.0,
        }
        for way in plan.ways:
            model = seeing if way.sees_question else blind
            for share in plan.shares:
                budget = math.floor(share * everything)
                yield _ask(model, video, question, way.method, budget) | {
                    "way": way.label,
                    "share": share,
                }


def _ask(
    model: VideoModel,
    video: VideoIndex,
    question: WorldQuestion,
    method: str,
    budget: int,
) -> dict[str, Any]:
    answer = model.ask(
        video,
        question.question,
        method=method,
        max_video_tokens=budget,
        max_new_tokens=16,
    )
    seen = [frame.time for frame in answer.frames if frame.kind == "cone"]
    return {
        "kind": question.kind,
        "question": question.question,
        "truth": question.answer,
        "answer": answer.text,
        "right": is_right(question, answer.text),
        "tokens": answer.tokens,
        "seconds": round(answer.seconds, 4),
        "evidence_seen": evidence_seen(question, seen),
    }


def summarise(records: Sequence[Record], plan: PluggedPlan) -> dict[str, Any]:
    """Make the document of a result: a row a set, way and share.

    Returns:
        Its ``rows`` have ``accuracy`` of all questions and ``accuracies`` by kind,
        ``difference`` to all tokens on the same questions, ``kept`` (accuracy over that
        of all tokens), ``recall`` (of the evidence by whole or finely kept frames), all
        in percent, ``tokens``, ``seconds``, ``faster`` (than all tokens) and
        ``questions``; ``constant`` is the best constant answer of each set.
    """
    rows: list[dict[str, Any]] = []
    constant = {}
    for test in plan.sets:
        of_set = [record for record in records if record["set"] == test.name]
        pairs = [(way.label, share) for way in plan.ways for share in plan.shares]
        asked = {
            pair: [r for r in of_set if (r["way"], r["share"]) == pair]
            for pair in ((FULL, 1.0), *pairs)
        }
        full = asked[FULL, 1.0]
        constant[test.name] = accuracy(answer_constantly(full)).value
        rows += [
            {"set": test.name, "way": way, "share": share, **_row(found, full)}
            for (way, share), found in asked.items()
        ]
    return {
        "kind": "plugged",
        "title": "Accuracy kept with fewer video tokens, without training",
        "plan": asdict(plan),
        "rows": rows,
        "constant": constant,
    }


def _row(own: Sequence[Record], full: Sequence[Record]) -> dict[str, Any]:
    seen = [r["evidence_seen"] for r in own if r["evidence_seen"] is not None]
    asked = {r["kind"] for r in own}
    right, of_full = accuracy(own), accuracy(full)
    seconds = fmean(r["seconds"] for r in own)
    return {
        "accuracy": asdict(right),
        "accuracies": {
            kind: accuracy([r for r in own if r["kind"] == kind]).value
            for kind in KINDS
            if kind in asked
        },
        "difference": asdict(paired_difference(own, full)),
        "kept": 100 * right.value / max(of_full.value, 1e-9),
        "recall": 100 * fmean(seen) if seen else None,
        "tokens": fmean(r["tokens"] for r in own),
        "seconds": seconds,
        "faster": fmean(r["seconds"] for r in full) / seconds,
        "questions": len(own),
    }


def lay_out(document: Document) -> Layout:
    """Make the page of a result that `summarise` made."""
    plan = document["plan"]
    body = [
        "One model that was trained to read all its tokens, asked about FocusWorld test "
        f"videos at {plan['fps']:g} fps, at most {plan['max_frames']} frames of each, with "
        "all tokens and with a part of them. Right: percent of the questions, with the "
        "95 % interval over videos where there are enough. Against all tokens: paired "
        "difference on the same questions. Evidence: percent of the questions of which a "
        "frame that is kept whole, or as a Cone, shows the answer.",
        "",
    ]
    for test in plan["sets"]:
        body += _table(document, test)
    return Layout(body=body, picture=_draw(document))


def _table(document: Document, test: Document) -> list[str]:
    own = [row for row in document["rows"] if row["set"] == test["name"]]
    low, high = test["seconds"]
    kinds = list(own[0]["accuracies"])
    head = ["reads", "tokens", "right", "against all tokens", "evidence", *kinds]
    rows = []
    for row in own:
        gap = Estimate(**row["difference"])
        rows.append(
            [
                FULL
                if row["way"] == FULL
                else f"{row['way']}, {100 * row['share']:g} %",
                f"{row['tokens']:.0f}",
                str(Estimate(**row["accuracy"])),
                "-" if row["way"] == FULL else gap.as_difference(),
                "-" if row["recall"] is None else f"{row['recall']:.0f}",
                *(f"{row['accuracies'][kind]:.0f}" for kind in kinds),
                f"{row['seconds']:.2f}",
                f"{row['faster']:.1f}",
            ]
        )
    return [
        f"## {test['name']}: {low:g} to {high:g} s, {test['num_videos']} videos, "
        f"{own[0]['questions']} questions",
        "",
        *table([*head, "s", "times faster"], rows),
        f"Best constant answer of each kind: {document['constant'][test['name']]:.1f} %.",
        "",
    ]


def _draw(document: Document) -> Figure:
    """Draw accuracy over the share of tokens, one panel a length of video."""
    figure, axes = panels([test["name"] for test in document["plan"]["sets"]])
    for panel in axes:
        own = [row for row in document["rows"] if row["set"] == panel.get_title()]
        full = own[0]["accuracy"]["value"]
        panel.axhline(full, color="black", linestyle=":", label=FULL)
        for way in dict.fromkeys(row["way"] for row in own[1:]):
            points = [row for row in own if row["way"] == way]
            panel.plot(
                [100 * row["share"] for row in points],
                [row["accuracy"]["value"] for row in points],
                marker="o",
                label=way,
            )
        panel.set_xlabel("video tokens, % of all")
    axes[0].set_ylabel("questions answered right, %")
    add_legend(figure, axes[0])
    return figure
