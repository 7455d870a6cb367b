"""The page and the picture that `clustering.py` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

_SPEED = (
    "dense CPU s | ours CPU s | times faster | dense s | ours s | dense MiB | ours MiB"
)


def _speed(row: dict[str, dict[str, float]], memory: dict[str, float]) -> str:
    """Give the columns that `_SPEED` names."""
    dense, ours = row["dense"], row["ours"]
    return (
        f"{dense['cpu_seconds']:.3f} | {ours['cpu_seconds']:.3f} "
        f"| {dense['cpu_seconds'] / ours['cpu_seconds']:.2f} "
        f"| {dense['seconds']:.3f} | {ours['seconds']:.3f} "
        f"| {memory['dense']:.0f} | {memory['ours']:.0f}"
    )


def growth(counts: list[int], values: list[float]) -> float:
    """Fit the exponent of a power of the count to values above 0."""
    pairs = [(n, v) for n, v in zip(counts, values, strict=True) if v > 0]
    if len(pairs) < 2:
        return float("nan")
    slope, _ = np.polyfit(*np.log(np.array(pairs)).T, 1)
    return float(slope)


def write_page(result: dict[str, Any], folder: Path) -> str:
    """Write Markdown, JSON and a picture; return the Markdown."""
    lengths = list(result["temporal"])
    result["growth"] = {
        "dense CPU seconds": _slope(result["temporal"], "dense", lengths),
        "our CPU seconds": _slope(result["temporal"], "ours", lengths),
        "many points: CPU seconds": _of_long(result["long"], "cpu_seconds"),
        "many points: memory": _of_long(result["long"], "mebibytes"),
    }
    lines = ["# Clustering beside the dense form", "", *_preface(result), ""]
    lines += [*_temporal(result), "", *_spatial(result), "", *_agreement(result), ""]
    lines += _long(result)
    folder.mkdir(parents=True, exist_ok=True)
    page = "\n".join(lines) + "\n"
    (folder / "clustering.md").write_text(page, encoding="utf-8")
    text = json.dumps(result, indent=2) + "\n"
    (folder / "clustering.json").write_text(text, encoding="utf-8")
    _draw(result, folder / "clustering.png")
    return page


def _slope(rows: dict[int, Any], way: str, lengths: list[int]) -> float:
    return growth(lengths, [rows[length][way]["cpu_seconds"] for length in lengths])


def _of_long(rows: list[dict[str, float]], key: str) -> float:
    return growth([int(r["points"]) for r in rows], [r[key] for r in rows])


def _preface(result: dict[str, Any]) -> list[str]:
    return [
        f"`{result['command']}`, commit {result['commit'][:12]}, {result['hardware']}. "
        f"{result['note']}".strip(),
        "",
        f"Medians of {result['repeats']} turns that take each other's place; CPU seconds, "
        "those of all threads, say more than seconds where other work runs. Memory "
        "is what the process grew by, result included. The dense form is one "
        "`torch.cdist`, its nearest neighbours and a masked minimum, in float32, as "
        "published.",
    ]


def _temporal(result: dict[str, Any]) -> list[str]:
    lines = [
        f"## T-DPC, width {result['sizes']['width']}, one thread",
        "",
        f"| points | {_SPEED} |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for length, row in result["temporal"].items():
        lines.append(f"| {length} | {_speed(row, result['memory'][length])} |")
    exponents = result["growth"]
    return [
        *lines,
        "",
        f"CPU seconds grow with the power {exponents['dense CPU seconds']:.2f} of the points in the "
        f"dense form and {exponents['our CPU seconds']:.2f} in ours. The paper reports 0.608 s for "
        "1000 frames on an A100.",
    ]


def _spatial(result: dict[str, Any]) -> list[str]:
    sizes = result["sizes"]
    prototypes = sizes["frames"] * 22 * sizes["dim"] * 4 / 2**20
    lines = [
        f"## S-DPC, {sizes['frames']} frames of {sizes['patches']} patches, "
        f"width {sizes['dim']}",
        "",
        f"| threads | {_SPEED} |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for threads, row in result["spatial"].items():
        memory = {way: row[way]["mebibytes"] for way in row}
        lines.append(f"| {threads} | {_speed(row, memory)} |")
    return [
        *lines,
        "",
        "Ours goes window by window of 64 frames through the workers that encode windows, one a "
        f"thread. Of the memory, {prototypes:.0f} MiB are the result itself.",
    ]


def _agreement(result: dict[str, Any]) -> list[str]:
    lines = [
        "## Centres beside those of the dense form in double precision",
        "",
        "| points | sets | same centres | missed beyond rounding "
        "| same assignment | largest density error | median score error "
        "| largest of a centre |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for points, rows in result["agreement"].items():
        same = sum(r["same_centers"] for r in rows)
        total = sum(r["centers"] for r in rows)
        missed = sum(r["missed_beyond_rounding"] for r in rows)
        assigned = sum(r["same_assignment"] for r in rows) / len(rows)
        density = max(r["largest_density_error"] for r in rows)
        median = max(r["score_error"] for r in rows)
        largest = max(r["largest_score_error"] for r in rows)
        lines.append(
            f"| {points} | {len(rows)} | {same} of {total} | {missed} "
            f"| {100 * assigned:.2f} % | {density:.1e} | {median:.1e} | {largest:.1e} |"
        )
    return [
        *lines,
        "",
        "Frames are scenes of 40 that wander, 25 centres each; patches are of single frames, as "
        "many centres and neighbours as in the first layer of S-DPC. A centre is missed "
        "beyond rounding if its score differs from the last centre's by more than 1e-5 of it. "
        "Errors are shares of the number itself, the largest of all sets.",
    ]


def _long(result: dict[str, Any]) -> list[str]:
    lines = [
        f"## Many points, width {result['sizes']['long_width']}, one thread",
        "",
        "| points | s | CPU s | MiB |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for row in result["long"]:
        lines.append(
            f"| {row['points']} | {row['seconds']:.1f} | {row['cpu_seconds']:.1f} "
            f"| {row['mebibytes']:.0f} |"
        )
    exponents = result["growth"]
    return [
        *lines,
        "",
        f"One run each. CPU seconds grow with the power "
        f"{exponents['many points: CPU seconds']:.2f} "
        f"of the points, memory with {exponents['many points: memory']:.2f}. The distances "
        "alone would take 4 bytes x points x points.",
        "",
        "![Seconds against points](clustering.png)",
    ]


def _draw(result: dict[str, Any], path: Path) -> None:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    lengths = [int(length) for length in result["temporal"]]
    for way in ("dense", "ours"):
        seconds = [row[way]["seconds"] for row in result["temporal"].values()]
        axes.loglog(lengths, seconds, "o-", label=f"{way}, {result['sizes']['width']}")
    rows = result["long"]
    label = f"ours, {result['sizes']['long_width']}"
    points, seconds = [r["points"] for r in rows], [r["seconds"] for r in rows]
    axes.loglog(points, seconds, "o--", label=label)
    axes.set(xlabel="points", ylabel="seconds")
    axes.legend(title="way, width")
    figure.savefig(path, dpi=120)
