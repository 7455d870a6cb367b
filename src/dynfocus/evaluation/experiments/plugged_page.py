"""What remains of a plugged model's accuracy, as Markdown, JSON and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dynfocus.evaluation.experiments.plugged import FULL, PluggedPlan, summarise_plugged
from dynfocus.evaluation.pages import write_page

NAME = "plugged-accuracy"


def write_plugged(
    records: Sequence[dict[str, Any]],
    plan: PluggedPlan,
    folder: str | Path,
    *,
    command: str,
    commit: str,
) -> Path:
    """Write plugged-accuracy.md, .json and .png and return the first.

    Args:
        records: What `measure_plugged` gave.
        plan: What was asked.
        folder: Created if missing.
        command: What was typed.
        commit: Of the source.
    """
    rows = summarise_plugged(records, plan)
    body = [
        "One model that was trained to read all its tokens, asked about unseen FocusWorld "
        f"videos at {plan.fps:g} fps, at most {plan.max_frames} frames of each, with all "
        "tokens and with a part of them. Percent of the questions answered right; in "
        "brackets percent of what it is with all tokens. Evidence: percent of the "
        "questions of which a frame that is kept whole, or as a Cone, shows the answer.",
        "",
        *(line for test in plan.sets for line in _tables(rows, plan, test.name)),
    ]
    return write_page(
        folder,
        NAME,
        title="Accuracy kept with fewer video tokens, without training",
        command=command,
        commit=commit,
        facts={"plan": asdict(plan), "rows": rows},
        body=body,
        picture=draw_plugged(rows, plan),
        caption="Accuracy over video tokens",
    )


def _tables(rows: Sequence[dict[str, Any]], plan: PluggedPlan, test: str) -> list[str]:
    own = [row for row in rows if row["set"] == test]
    low, high = next(t.seconds for t in plan.sets if t.name == test)
    kinds = list(own[0]["accuracies"])
    head = ["reads", "tokens", "right", "evidence", *kinds, "s", "times faster"]
    lines = [
        f"## {test}: {low:g} to {high:g} s, {own[0]['questions']} questions",
        "",
        "| " + " | ".join(head) + " |",
        "| --- |" + " ---: |" * (len(head) - 1),
    ]
    for row in own:
        seen = "-" if row["recall"] is None else f"{row['recall']:.0f}"
        cells = [
            _label(row),
            f"{row['tokens']:.0f}",
            f"{row['accuracy']:.1f} ({row['kept']:.0f})",
            seen,
            *(f"{row['accuracies'][kind]:.0f}" for kind in kinds),
            f"{row['seconds']:.2f}",
            f"{row['faster']:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _label(row: dict[str, Any]) -> str:
    if row["way"] == FULL:
        return FULL
    return f"{row['way']}, {100 * row['share']:g} %"


def draw_plugged(rows: Sequence[dict[str, Any]], plan: PluggedPlan) -> Figure:
    """Draw accuracy over the share of tokens, one panel a length of video."""
    figure = Figure(figsize=(4.2 * len(plan.sets) + 2.5, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(plan.sets), squeeze=False, sharey=True)[0]
    for axes, test in zip(panels, plan.sets, strict=True):
        own = [row for row in rows if row["set"] == test.name]
        axes.axhline(own[0]["accuracy"], color="black", linestyle=":", label=FULL)
        for way in plan.ways:
            points = [row for row in own if row["way"] == way.label]
            axes.plot(
                [100 * row["share"] for row in points],
                [row["accuracy"] for row in points],
                marker="o",
                linestyle="-" if way.sees_question else "--",
                label=way.label,
            )
        axes.set_title(test.name)
        axes.set_xlabel("video tokens, % of all")
    panels[0].set_ylabel("questions answered right, %")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper")
    return figure
