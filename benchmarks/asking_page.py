"""The page that `asking.py` writes: tables, growth, and a picture of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_CURVES = (
    ("first question", "first", "seconds", "#b8442f"),
    ("of it reading and encoding", "first", "video_seconds", "#e0a48a"),
    ("CPU seconds of the first", "first", "cpu_seconds", "#7a1f12"),
    ("second question", "second", "seconds", "#2f6db8"),
    ("of it opening the index", "second", "video_seconds", "#8ab4e0"),
    ("CPU seconds of the second", "second", "cpu_seconds", "#123f7a"),
)


def growth(frames: list[int], values: list[float]) -> float | None:
    """Fit ``value = a * frames ** e`` and give ``e``; None for fewer than two points."""
    if len(frames) < 2 or min(values) <= 0:
        return None
    exponent, _ = np.polyfit(np.log(frames), np.log(values), 1)
    return float(exponent)


def add_growth(document: dict[str, Any]) -> None:
    """Fit how seconds and memory grow with the number of frames."""
    rows = _curve(document)
    frames = [row["frames"] for row in rows]
    document["growth"] = {
        f"{turn}_{name}": growth(frames, [row[turn][name] for row in rows])
        for _, turn, name, _ in _CURVES
    } | {
        f"{turn}_megabytes_added": growth(frames, [_added(row, turn) for row in rows])
        for turn in ("first", "second")
    }


def _curve(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Take the cases of one kind of video, by length."""
    rows = [row for row in document["rows"] if row["case"]["kind"] == "world"]
    return sorted(rows, key=lambda row: int(row["frames"]))


def _added(row: dict[str, Any], turn: str) -> float:
    return float(row[turn]["peak_megabytes"] - row[turn]["megabytes_before"])


def write_page(document: dict[str, Any], folder: Path) -> str:
    """Write Markdown, JSON and a picture."""
    names = [f"{r['case']['seconds']}:{r['case']['kind']}" for r in document["rows"]]
    cases = " ".join(name.removesuffix(":world") for name in names)
    document["command"] = (
        f"python benchmarks/asking.py --folder FOLDER --cases {cases} "
        f"--rounds {document['rounds']}"
    )
    add_growth(document)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=2) + "\n"
    (folder / "asking.json").write_text(text, encoding="utf-8")
    lines = [*_preface(document), *_table(document), *_growth(document)]
    lines += [*_sizes(document), ""]
    page = "\n".join(lines)
    (folder / "asking.md").write_text(page, encoding="utf-8")
    figure = draw(document)
    FigureCanvasAgg(figure)
    figure.savefig(folder / "asking.png", dpi=110)
    return page


def _preface(document: dict[str, Any]) -> list[str]:
    loads = [
        row[turn]["load"] for row in document["rows"] for turn in ("first", "second")
    ]
    return [
        "# Asking twice",
        "",
        f"`{document['command']}`, commit {document['commit'][:12]}, "
        f"{document['hardware']}, {document['cores']} cores.",
        *([document["note"]] if document["note"] else []),
        f"Load averages of {min(loads):.1f} to {max(loads):.1f}: CPU seconds and ratios "
        "count, seconds are longer than on an idle machine.",
        "",
        "The shipped model at one frame a second. *world*: FocusWorld videos of 224 x 224 "
        "pixels at 8 frames a second, which are read quickly; longer ones repeat one of 900 "
        "s. *480p*: moving texture of 480 x 854 pixels at 30 frames a second, as films have. "
        f"Medians of {document['rounds']} round{'s' * (document['rounds'] > 1)}. Every "
        "question in a fresh process with the model loaded; the second finds the index that "
        "the first one left. A larger vision tower makes the ratio larger.",
        "",
    ]


def _table(document: dict[str, Any]) -> list[str]:
    lines = [
        "| video | video tokens | first question | second | ratio | CPU s, first | second "
        "| ratio | reading and encoding | opening the index | peak MB, first | second |",
        "| --- |" + " ---: |" * 11,
    ]
    for row in document["rows"]:
        first, second = row["first"], row["second"]
        lines.append(
            f"| {row['frames']} s, {row['case']['kind']} "
            f"| {first['video_tokens']} | {first['seconds']:.2f} s "
            f"| {second['seconds']:.2f} s | {row['ratio']:.1f} "
            f"| {first['cpu_seconds']:.2f} | {second['cpu_seconds']:.2f} "
            f"| {row['cpu_ratio']:.1f} "
            f"| {first['video_seconds']:.2f} s | {second['video_seconds']:.3f} s "
            f"| {first['peak_megabytes']:.0f} | {second['peak_megabytes']:.0f} |"
        )
    before = document["rows"][0]["second"]["megabytes_before"]
    same = all(row["same_answer"] for row in document["rows"])
    return [
        *lines,
        "",
        f"The process with the model takes {before:.0f} MB before it is asked. "
        + ("Both answers are always the same. " if same else "Answers DIFFER. ")
        + _where_time_goes(document["rows"]),
        "",
        "![Seconds and memory over frames](asking.png)",
        "",
    ]


def _where_time_goes(rows: list[dict[str, Any]]) -> str:
    """Say what the index spares and what it cannot."""
    row = max(rows, key=lambda row: int(row["frames"]))
    first, second = row["first"], row["second"]
    spared = first["video_seconds"] / second["video_seconds"]
    share = second["answer_seconds"] / second["seconds"]
    return (
        f"Of the longest video, opening the index took {1 / spared:.2%} of the time of "
        f"reading and encoding; {share:.1%} of the second question is the language model "
        f"reading {second['video_tokens']:,} video tokens and answering, which no index "
        "spares."
    )


def _growth(document: dict[str, Any]) -> list[str]:
    words = {
        "first_seconds": "first question",
        "first_cpu_seconds": "first question, CPU seconds",
        "first_video_seconds": "reading and encoding",
        "second_seconds": "second question",
        "second_cpu_seconds": "second question, CPU seconds",
        "second_video_seconds": "opening the index",
        "first_megabytes_added": "memory added by the first question",
        "second_megabytes_added": "memory added by the second",
    }
    lines = ["| growth with the number of frames T, world | exponent of T |"]
    lines.append("| --- | ---: |")
    for name, text in words.items():
        value = document["growth"][name]
        lines.append(f"| {text} | {'-' if value is None else f'{value:.2f}'} |")
    return [*lines, ""]


def _sizes(document: dict[str, Any]) -> list[str]:
    full = document["full_width"]
    lines = [
        "## Size of an index",
        "",
        "| video | storage | predicted bytes | bytes of the file | header |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    rows = [
        (
            f"{row['frames']} s, {row['case']['kind']}, nano",
            "exact",
            row,
        )
        for row in document["rows"]
    ]
    rows.append(
        (f"{full['frames']} frames of width 1408, random", full["storage"], full)
    )
    for name, storage, row in rows:
        told, real = row["predicted_bytes"], row["index_bytes"]
        lines.append(f"| {name} | {storage} | {told:,} | {real:,} | {real - told:,} |")
    lines += [
        "",
        f"At full width, packing and writing took {full['write_seconds']:.1f} s, opening "
        f"and unpacking {full['open_seconds']:.1f} s.",
        "",
        "Predicted for an hour at one frame a second:",
        "",
        "| model | default | exact, MB | compact, MB |",
        "| --- | --- | ---: | ---: |",
    ]
    for size in document["sizes"]:
        exact, compact = size["exact"] / 1e6, size["compact"] / 1e6
        lines.append(
            f"| {size['model']} | {size['default']} | {exact:,.1f} | {compact:,.1f} |"
        )
    return lines


def draw(document: dict[str, Any]) -> Figure:
    """Draw seconds and added memory over frames, both axes logarithmic."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = _curve(document)
    frames = [row["frames"] for row in rows]
    for label, turn, name, colour in _CURVES:
        values = [row[turn][name] for row in rows]
        left.plot(frames, values, "o-", color=colour, label=label)
    for turn, colour in (("first", "#b8442f"), ("second", "#2f6db8")):
        added = [max(_added(row, turn), 0.1) for row in rows]
        right.plot(frames, added, "o-", color=colour, label=f"{turn} question")
    for axis, title in ((left, "seconds"), (right, "MB added to the process")):
        axis.set(xscale="log", yscale="log", xlabel="frames", title=title)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    return figure
