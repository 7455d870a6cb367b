"""A result as JSON, Markdown and a picture; the last two are made from the first alone.

A result is one JSON document: ``kind`` (one of ``KINDS``), ``title``, ``command``,
``commit``, ``hardware``, ``notes`` and what its kind holds. ``notes`` are paragraphs that
a person added to the document; they stay when the result is measured again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from dynfocus.evaluation.metrics import Estimate
from dynfocus.provenance import describe_hardware

Document = Mapping[str, Any]

KINDS = {
    "benchmark": "dynfocus.evaluation.benchmarks.document",
    "focusworld": "dynfocus.evaluation.benchmarks.focusworld",
    "robustness": "dynfocus.evaluation.benchmarks.robustness",
    "experiment": "dynfocus.evaluation.experiments.tables",
    "recall": "dynfocus.evaluation.experiments.recall",
    "plugged": "dynfocus.evaluation.experiments.plugged",
}
"""The module of each kind of result, whose ``lay_out`` makes a page of a document."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a page shows between its title and its notes."""

    body: Sequence[str]
    """Lines of Markdown."""
    picture: Figure | None = None
    """What the page ends with."""


def write_page(
    folder: str | Path, name: str, document: Document, *, command: str, commit: str
) -> Path:
    """Write NAME.json with what made it, and its page.

    Args:
        folder: Created if missing.
        name: Of the files.
        document: The result: ``kind``, ``title`` and what its kind holds.
        command: What was typed.
        commit: Of the source.

    Returns:
        NAME.md.
    """
    path = Path(folder) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    notes = read_document(path).get("notes", []) if path.exists() else []
    made = {"command": command, "commit": commit, "hardware": describe_hardware()}
    whole = {**document, **made, "notes": notes}
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return render_page(path)


def render_page(path: str | Path) -> Path:
    """Write the Markdown and the picture of a result's JSON document.

    Args:
        path: NAME.json.

    Returns:
        NAME.md.

    Raises:
        ValueError: If the file is no result of a known kind.
    """
    path = Path(path)
    document = read_document(path)
    layout: Layout = import_module(KINDS[document["kind"]]).lay_out(document)
    made = f"`{document['command']}`, commit {document['commit'][:12]}"
    lines = [f"# {document['title']}", "", f"{made}, {document['hardware']}.", ""]
    lines += layout.body
    for note in document.get("notes", []):
        lines += [note, ""]
    if layout.picture is not None:
        layout.picture.savefig(path.with_suffix(".png"), dpi=120)
        lines += [f"![{document['title']}]({path.stem}.png)", ""]
    page = path.with_suffix(".md")
    page.write_text("\n".join(lines), encoding="utf-8")
    return page


def read_document(path: str | Path) -> dict[str, Any]:
    """Read a result's JSON document.

    Raises:
        ValueError: If the file is no result of a known kind.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        known = document["kind"] in KINDS
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no result of dynfocus eval") from error
    if not known:
        raise ValueError(
            f"{path}: kind must be one of {', '.join(KINDS)}, got {document['kind']!r}"
        )
    return dict(document)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a Markdown table, the first column to the left, and an empty line."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return [*("| " + " | ".join(cells) + " |" for cells in lines), ""]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a panel: values over a number, each with its interval."""

    label: str
    points: Sequence[tuple[float, Estimate]]
    is_dashed: bool = False


def draw_lines(
    panels: Mapping[str, Sequence[Line]],
    horizontal: str,
    vertical: str = "accuracy, %",
    *,
    is_log: bool = False,
) -> Figure:
    """Draw lines with error bars, a panel for each title, one legend beside all.

    Args:
        panels: The lines of each panel by its title.
        horizontal: What the horizontal axes are.
        vertical: What the vertical axis is.
        is_log: Whether the horizontal axes are logarithmic.
    """
    figure = Figure(figsize=(4.2 * len(panels) + 2.5, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (title, lines) in zip(row, panels.items(), strict=True):
        for line in lines:
            places = [x for x, _ in line.points]
            found = [estimate for _, estimate in line.points]
            axes.errorbar(
                places,
                [estimate.value for estimate in found],
                yerr=_reach(found),
                marker="o",
                linestyle="--" if line.is_dashed else "-",
                label=line.label,
            )
        if is_log:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
        axes.set(title=title, xlabel=horizontal)
    row[0].set_ylabel(vertical)
    handles, labels = row[0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside right upper")
    return figure


def draw_bars(bars: Mapping[str, Estimate]) -> Figure:
    """Draw a bar with its interval for each label, the first above."""
    figure = Figure(figsize=(8, 1.5 + 0.4 * len(bars)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    found = list(bars.values())
    axes.barh(list(bars), [each.value for each in found], xerr=_reach(found))
    axes.invert_yaxis()
    axes.set_xlabel("accuracy, %")
    return figure


def _reach(found: Sequence[Estimate]) -> tuple[list[float], list[float]]:
    """Return how far intervals reach down and up; not at all where there is none."""
    downs = [e.value - e.low if e.low is not None else 0.0 for e in found]
    ups = [e.high - e.value if e.high is not None else 0.0 for e in found]
    return [max(0.0, d) for d in downs], [max(0.0, u) for u in ups]
