"""Results side by side: ours, published rows, and which differences mean something."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure as Picture

from dynfocus.evaluation.benchmarks.benchmark import Published
from dynfocus.evaluation.benchmarks.document import show_estimate
from dynfocus.evaluation.benchmarks.options import describe_differences
from dynfocus.evaluation.benchmarks.registry import load_benchmark
from dynfocus.evaluation.metrics import (
    Estimate,
    Record,
    paired_difference,
    sign_test,
)
from dynfocus.evaluation.pages import Line, draw_lines, read_document, table

Format = Literal["markdown", "csv", "latex"]
_SPECIAL = str.maketrans(
    {
        **{one: f"\\{one}" for one in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
    }
)
_MARK = "*"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One result of a benchmark, read from its files."""

    path: Path
    document: Mapping[str, Any]
    compared: Mapping[str, Record]
    """By the id of a question: what it adds to the main figure, and about which video."""

    @property
    def benchmark(self) -> str:
        """The benchmark."""
        return str(self.document["benchmark"])

    @property
    def judge(self) -> tuple[Any, ...] | None:
        """Who judged, with which words; None where nothing was judged."""
        judge = self.document["judge"]
        if judge is None:
            return None
        return judge["name"], tuple(sorted((judge.get("prompts") or {}).items()))

    @property
    def system(self) -> str:
        """The model, and how it was asked where that is not the usual way."""
        ask = self.document["manifest"]["ask"]
        told = [str(self.document["model"])]
        told += [str(ask["method"])] if ask["method"] else []
        if ask["max_frames"]:
            told.append(f"{ask['max_frames']} frames")
        if ask["max_video_tokens"]:
            told.append(f"{ask['max_video_tokens']} tokens")
        return ", ".join(told)

    def values(self) -> dict[str, tuple[Estimate, str]]:
        """Give the main figures by label, with their units."""
        return {
            figure["label"]: (Estimate(**figure["estimate"]), figure["unit"])
            for figure in self.document["figures"]
            if figure["is_main"]
        }


def read_result(path: str | Path) -> Result:
    """Read a result that ``dynfocus eval NAME`` left.

    Args:
        path: NAME.json; the marks stand beside it.

    Raises:
        ValueError: It is no result of a benchmark, or its marks are gone.
    """
    path = Path(path)
    document = read_document(path)
    if document["kind"] != "benchmark":
        raise ValueError(
            f"{path} is a result of the kind {document['kind']}; a table takes those of "
            "benchmarks with --data"
        )
    scored = path.with_name(document["scored"])
    if not scored.is_file():
        raise ValueError(
            f"{path} has no {scored.name} beside it; run the benchmark again"
        )
    rows = [json.loads(line) for line in scored.read_text("utf-8").splitlines()]
    found = {
        row["id"]: {**row, "right": row["compared"]}
        for row in rows
        if "compared" in row
    }
    return Result(path=path, document=document, compared=found)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of one benchmark, ours first."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    """What a reader must know, and the comparisons."""

    def write(self, form: Format) -> str:
        """Write the table."""
        if form == "csv":
            stream = io.StringIO()
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerows([self.head, *self.rows])
            return stream.getvalue()
        if form == "latex":
            return self._latex()
        lines = [f"## {self.title}", "", *table(self.head, self.rows)]
        return "\n".join([*lines, *(f"{note}\n" for note in self.notes)])

    def _latex(self) -> str:
        lines = [
            " & ".join(_escape(cell) for cell in row) for row in (self.head, *self.rows)
        ]
        first, *rest = (f"{line} \\\\" for line in lines)
        columns = "l" + "r" * (len(self.head) - 1)
        notes = [f"% {note}" for note in self.notes]
        return "\n".join(
            [
                f"% {self.title}",
                rf"\begin{{tabular}}{{{columns}}}",
                r"\hline",
                first,
                r"\hline",
                *rest,
                r"\hline",
                r"\end{tabular}",
                *notes,
                "",
            ]
        )


def _escape(text: str) -> str:
    return text.translate(_SPECIAL)


def make_tables(
    results: Sequence[Result], *, forced: bool = False, published: bool = True
) -> list[Table]:
    """Make a table for each benchmark, the first result of each compared with the others.

    Args:
        results: The results.
        forced: Put results of different judges into one table, marked.
        published: Add the rows of papers.

    Raises:
        ValueError: Results have different judges, and it is not forced.
    """
    names = dict.fromkeys(result.benchmark for result in results)
    return [
        _make_table([r for r in results if r.benchmark == name], forced, published)
        for name in names
    ]


def _make_table(results: Sequence[Result], forced: bool, published: bool) -> Table:
    benchmark = load_benchmark(results[0].benchmark)
    judges = {result.judge for result in results} - {None}
    if len(judges) > 1 and not forced:
        names = ", ".join(sorted({str(judge[0]) for judge in judges if judge}))
        raise ValueError(
            f"these results of {benchmark.name} have different judges or prompts ({names}), "
            "which moves figures by ten points and more; judge them anew by one, or say "
            "--force to mark them"
        )
    labels = list(dict.fromkeys(label for r in results for label in r.values()))
    rows = [_row(result, labels, len(judges) > 1) for result in results]
    if published:
        rows += [_published(row, labels) for row in benchmark.published]
    notes = _notes(results, is_mixed=len(judges) > 1)
    notes += [
        compare(results[0], other) for other in results[1:] if results[0].compared
    ]
    return Table(
        title=benchmark.title,
        head=["system", *labels, "tokens", "source"],
        rows=rows,
        notes=notes,
    )


def _row(result: Result, labels: Sequence[str], is_mixed: bool) -> list[str]:
    values = result.values()
    mark = _MARK if is_mixed and result.judge is not None else ""
    cells = [
        show_estimate(values[label][0], 1 if values[label][1] == "%" else 2) + mark
        if label in values
        else "-"
        for label in labels
    ]
    tokens = result.document["mean_video_tokens"]
    shown = "-" if tokens is None else f"{tokens:.0f}"
    return [result.system, *cells, shown, f"ours, {result.document['commit'][:12]}"]


def _published(row: Published, labels: Sequence[str]) -> list[str]:
    cells = [
        f"{row.values[label]:g}" if label in row.values else "-" for label in labels
    ]
    source = row.source if row.is_own else f"{row.source} (not its authors')"
    return [
        f"{row.system}{f', {row.setting}' if row.setting else ''}",
        *cells,
        "-",
        source,
    ]


def _notes(results: Sequence[Result], is_mixed: bool) -> list[str]:
    """Say what the rows do not share, and that papers differ in more."""
    notes = [
        "In brackets the 95 % interval over videos. Published rows differ from ours in "
        "frames, prompts and harness."
    ]
    for result in results:
        told = describe_differences(result.document["rules"])
        counts = result.document["counts"]
        part = (
            counts["questions"] < counts["of"] or counts["missing"] or counts["failed"]
        )
        if told:
            notes.append(f"{result.system}: {told}.")
        if part:
            notes.append(
                f"{result.system}: {counts['answered'] + counts['unparsed']:,} answered of "
                f"{counts['of']:,} questions."
            )
        if is_mixed and result.judge is not None:
            notes.append(f"{_MARK} {result.system}: judged by {result.judge[0]}.")
    return notes


def compare(first: Result, other: Result) -> str:
    """Say what the second result gains on the first, on the questions of both.

    Args:
        first: One result.
        other: Another of the same benchmark.
    """
    both = [name for name in first.compared if name in other.compared]
    if not both:
        return f"{other.system} against {first.system}: no question was asked of both."
    before = [first.compared[name] for name in both]
    after = [other.compared[name] for name in both]
    averages = bool(first.document["averages_kinds"])
    gain = paired_difference(after, before, over_kinds=averages)
    chance = sign_test(after, before)
    return (
        f"{other.system} against {first.system}: {gain.as_difference()} points on "
        f"{len(both):,} questions of both, paired over videos; sign test p = {chance:.3g}."
    )


def draw_accuracy(results: Sequence[Result]) -> Picture:
    """Draw the first main figure of results over their mean video tokens.

    Args:
        results: The results; a panel for each benchmark, a line for each model and
            method.

    Raises:
        ValueError: No result tells its tokens.
    """
    panels: dict[str, dict[str, list[tuple[float, Estimate]]]] = {}
    for result in results:
        tokens, values = result.document["mean_video_tokens"], result.values()
        if tokens is None or not values:
            continue
        method = result.document["manifest"]["ask"]["method"]
        label = f"{result.document['model']}{f', {method}' if method else ''}"
        name = f"{result.benchmark}, {next(iter(values))}"
        lines = panels.setdefault(name, {})
        lines.setdefault(label, []).append((tokens, next(iter(values.values()))[0]))
    if not panels:
        raise ValueError("none of these results tells its tokens; run the benchmarks")
    drawn = {
        name: [
            Line(label=label, points=sorted(points, key=lambda point: point[0]))
            for label, points in lines.items()
        ]
        for name, lines in panels.items()
    }
    return draw_lines(drawn, "video tokens a question", "main figure")
