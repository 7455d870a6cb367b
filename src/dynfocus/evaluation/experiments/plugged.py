"""How much of a vision language model's accuracy remains at a part of its video tokens.

A model that reads all its tokens is asked about test videos; then the same model with
fewer, chosen in several ways. Every way has the same budget and the same encoded frames.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from dynfocus.bulk import Row, VideoJob, run_rows
from dynfocus.bulk.asking import OnStep
from dynfocus.evaluation.benchmarks.focusworld import (
    WorldBenchmark,
    answered,
    cone_times,
)
from dynfocus.evaluation.benchmarks.key_frames import score_key_frames, unified_score
from dynfocus.evaluation.metrics import (
    Estimate,
    Record,
    accuracy,
    answer_constantly,
    paired_difference,
)
from dynfocus.evaluation.pages import Document, Layout, Line, draw_lines, table
from dynfocus.methods import find_selector, find_selectors
from dynfocus.models import LoadOptions, VideoModel
from dynfocus.plugins import host_type, load_host, plug
from dynfocus.text import plural
from dynfocus.validation import Count, checked
from dynfocus.world import KINDS
from dynfocus.world.conversations import parse_address, render_address

FULL = "all tokens"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to spend a budget."""

    label: str
    """What the table calls it."""
    method: str
    """As `dynfocus.plug` calls it."""
    sees_question: bool
    """Whether it has the scorer."""


SHARES = (0.05, 0.1, 0.25, 0.5)
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
    sets: tuple[WorldBenchmark, ...]
    scorer: str | None = None
    """A dual encoder; without one only ways that do not look at the question are asked."""
    methods: tuple[str, ...] = ()
    """Further ways: names of `dynfocus.methods.SELECTORS`, or of other packages."""
    shares: tuple[float, ...] = SHARES
    """Budgets, as shares of all tokens of a video."""
    max_frames: Count = 900
    """Frames of a video, taken evenly."""

    def __post_init__(self) -> None:
        if not self.sets or not self.shares:
            raise ValueError("sets and shares must hold at least one entry each")
        for name in self.methods:
            find_selector(name, has_scorer=self.scorer is not None)
        for share in self.shares:
            if not 0 < share < 1:
                raise ValueError(
                    f"a share of the tokens must lie between 0 and 1, got {share:g}"
                )

    @property
    def ways(self) -> tuple[Way, ...]:
        """List the ways that this plan can ask."""
        known = find_selectors()
        named = {way.method for way in WAYS}
        more = [
            Way(label=name, method=name, sees_question=known[name].needs_scorer)
            for name in dict.fromkeys(self.methods)
            if name not in named
        ]
        return tuple(
            way for way in (*WAYS, *more) if self.scorer or not way.sees_question
        )

    @property
    def pairs(self) -> list[tuple[str, float]]:
        """List ways and shares, all tokens first."""
        asked = [(way.label, share) for way in self.ways for share in self.shares]
        return [(FULL, 1.0), *asked]

    def rows(self) -> list[Row]:
        """Make the rows of the runner: each question in every way, with every share."""
        return [
            replace(
                row,
                id=f"{row.id}/{label}/{share:g}",
                options=row.options.replace(max_frames=self.max_frames),
                facts={**row.facts, "way": label, "share": share},
            )
            for test in self.sets
            for row in test.rows(set=test.name)
            for label, share in self.pairs
        ]


def measure_plugged(
    plan: PluggedPlan, answers: str | Path, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Ask everything in every way, one record an answer.

    Args:
        plan: What to ask.
        answers: JSON-lines file that grows by one line an answer; what is answered in it
            is not asked again.
        progress: Called with answers done and answers in all.

    Returns:
        Records with ``set``, ``video``, ``way``, ``share``, ``kind``, ``right``,
        ``tokens``, ``seconds``, ``evidence_seen``, ``fine_times`` and ``evidence``.

    Raises:
        ValueError: The host is no model that can be plugged.
    """
    if host_type(plan.host) is None:
        raise ValueError(
            f"{plan.host!r} is no vision language model that can be plugged: name a "
            "folder or a hub id of one, such as recipes/hosts/llava-onevision.yaml leaves"
        )
    return run_rows(
        partial(_load, plan),
        plan.rows(),
        answers,
        stamp=asdict(plan),
        progress=progress,
    )


def _load(plan: PluggedPlan, number: int) -> Any:
    """Load the host for a worker, with the scorer and without."""
    seeing = load_host(plan.host, LoadOptions(scorer=plan.scorer))
    models = {True: seeing, False: plug(seeing.model, seeing.processor)}
    return partial(_ask_video, {way.label: way for way in plan.ways}, models)


def _ask_video(
    ways: Mapping[str, Way],
    models: Mapping[bool, VideoModel],
    job: VideoJob,
    on_step: OnStep | None = None,
) -> Iterator[Record]:
    """Answer the rows of a video, which is encoded once for all ways."""
    address = parse_address(job.video)
    assert address is not None  # `WorldBenchmark.rows` wrote it
    options = job.rows[0].options
    frames = render_address(address, options.fps)
    video = models[True].index(frames, fps=options.fps, max_frames=options.max_frames)
    for row in job.rows:
        assert row.question is not None
        way = ways.get(row.facts["way"])
        answer = models[way is not None and way.sees_question].ask(
            video,
            row.question,
            method=way.method if way else "none",
            max_video_tokens=math.floor(row.facts["share"] * video.features.num_tokens),
            max_new_tokens=16,
        )
        yield answered(row, answer) | {
            "fine_times": cone_times(answer),
            "evidence": row.evidence,
        }


def summarise(records: Sequence[Record], plan: PluggedPlan) -> dict[str, Any]:
    """Make the document of a result: a row a set, way and share.

    Returns:
        Its ``rows`` have ``accuracy`` of all questions and ``accuracies`` by kind,
        ``difference`` to all tokens on the same questions, ``kept`` (accuracy over that
        of all tokens), ``recall`` (of the evidence by whole or finely kept frames),
        ``unified`` (UKSS of KFS-Bench, of these frames), all in percent, ``tokens``, ``seconds``, ``faster`` (than all tokens) and
        ``questions``; ``constant`` is the best constant answer of each set.
    """
    rows: list[dict[str, Any]] = []
    constant = {}
    for test in plan.sets:
        of_set = [record for record in records if record["set"] == test.name]
        asked = {
            pair: [r for r in of_set if (r["way"], r["share"]) == pair]
            for pair in plan.pairs
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
    unified = [
        score_key_frames(r["fine_times"], [[stretch] for stretch in r["evidence"]])
        for r in own
        if r["evidence"]
    ]
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
        "unified": 100 * unified_score(unified) if unified else None,
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
        f"videos, at most {plan['max_frames']} frames of each, with "
        "all tokens and with a part of them. Right: percent of the questions, with the "
        "95 % interval over videos where there are enough. Against all tokens: paired "
        "difference on the same questions. Evidence: percent of the questions of which a "
        "frame that is kept whole, or as a Cone, shows the answer; UKSS: how evenly such "
        "frames fall on the stretches that show it, by KFS-Bench, of 100.",
        "",
    ]
    for test in plan["sets"]:
        body += _table(document, test)
    return Layout(body=body, picture=_draw(document))


def _table(document: Document, test: Document) -> list[str]:
    own = [row for row in document["rows"] if row["set"] == test["name"]]
    low, high = test["seconds"]
    kinds = list(own[0]["accuracies"])
    head = ["reads", "tokens", "right", "against all tokens", "evidence", "UKSS"]
    head += kinds
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
                *(
                    "-" if row.get(name) is None else f"{row[name]:.0f}"
                    for name in ("recall", "unified")
                ),
                *(f"{row['accuracies'][kind]:.0f}" for kind in kinds),
                f"{row['seconds']:.2f}",
                f"{row['faster']:.1f}",
            ]
        )
    return [
        f"## {test['name']}: {low:g} to {high:g} s, {plural(test['num_videos'], 'video')}, "
        f"{plural(own[0]['questions'], 'question')}",
        "",
        *table([*head, "s", "times faster"], rows),
        f"Best constant answer of each kind: {document['constant'][test['name']]:.1f} %.",
        "",
    ]


def _draw(document: Document) -> Figure:
    """Draw accuracy over the share of tokens, one panel a length of video."""
    drawn: dict[str, list[Line]] = {}
    for test in document["plan"]["sets"]:
        points: dict[str, list[tuple[float, Estimate]]] = defaultdict(list)
        for row in document["rows"]:
            if row["set"] == test["name"]:
                found = (100 * row["share"], Estimate(**row["accuracy"]))
                points[row["way"]].append(found)
        drawn[test["name"]] = [
            Line(label=way, points=found) for way, found in points.items()
        ]
    vertical = "questions answered right, %"
    return draw_lines(drawn, "video tokens, % of all", vertical)
