"""Evidence recall as Markdown, JSON and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from dynfocus.evaluation.experiments.recall import UNIFORM, RecallPlan, summarise_recall
from dynfocus.evaluation.pages import write_page

NAME = "recall"


def write_recall(
    records: Sequence[dict[str, Any]],
    plan: RecallPlan,
    folder: str | Path,
    *,
    command: str,
    commit: str,
) -> Path:
    """Write recall.md, recall.json and recall.png and return the first.

    Args:
        records: What `measure_recall` gave.
        plan: What was asked.
        folder: Created if missing.
        command: What was typed.
        commit: Of the source.
    """
    rows = summarise_recall(records, plan)
    settings = {k: v for k, v in asdict(plan).items() if k != "cache"}
    body = [
        "Share of the questions (percent) for which at least one of the K frames that "
        "become Cones shows the answer; in brackets the share of all frames that K is. "
        f"Unseen FocusWorld videos at {plan.fps:g} fps, drawn, not decoded. L is the "
        "number of event prototypes, of which the K best become Cones.",
        "",
        *(line for test in plan.sets for line in _table(rows, plan, test.name)),
    ]
    return write_page(
        folder,
        NAME,
        title="Evidence recall",
        command=command,
        commit=commit,
        facts={"plan": settings, "rows": rows},
        body=body,
        picture=draw_recall(rows, plan),
        caption="Evidence recall",
    )


def _table(rows: Sequence[dict[str, Any]], plan: RecallPlan, test: str) -> list[str]:
    found = [row for row in rows if row["set"] == test]
    if not found:
        return []
    low, high = next(t.seconds for t in plan.sets if t.name == test)
    head = [f"{test}: {low:g} to {high:g} s, {found[0]['questions']} questions", "L"]
    head += [f"K = {k}" for k in plan.num_cones]
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("| --- | ---: |" + " ---: |" * len(plan.num_cones))
    for row in found:
        cells = [
            f"{hit:.0f} ({share:.2g} %)" if k <= (row["num_prototypes"] or k) else "-"
            for k, hit, share in zip(
                plan.num_cones, row["recall"], row["share"], strict=True
            )
        ]
        label = [row["selection"], str(row["num_prototypes"] or "-")]
        lines.append("| " + " | ".join([*label, *cells]) + " |")
    return [*lines, ""]


def draw_recall(rows: Sequence[dict[str, Any]], plan: RecallPlan) -> Figure:
    """Draw recall over the share of frames, one panel a length of video."""
    figure = Figure(figsize=(4.2 * len(plan.sets) + 2.5, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(plan.sets), squeeze=False, sharey=True)[0]
    for axes, test in zip(panels, plan.sets, strict=True):
        for row in (row for row in rows if row["set"] == test.name):
            limit = row["num_prototypes"] or max(plan.num_cones)
            shown = sum(k <= limit for k in plan.num_cones)
            axes.plot(
                row["share"][:shown],
                row["recall"][:shown],
                marker="o",
                linestyle="--" if row["selection"] == UNIFORM else "-",
                label=_label(row),
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(test.name)
        axes.set_xlabel("frames that are Cones, %")
    panels[0].set_ylabel("questions with a Cone in the evidence, %")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper")
    return figure


def _label(row: dict[str, Any]) -> str:
    count = row["num_prototypes"]
    return f"{row['selection']}, L = {count}" if count else str(row["selection"])
