"""Experiments as Markdown, JSON and a picture, with the paper's figures beside ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from dynfocus.evaluation.experiments.ablations import Experiment
from dynfocus.evaluation.experiments.plans import Plan
from dynfocus.evaluation.pages import write_page

_TOKEN_TICKS = [150 * 2**power for power in range(10)]

Record = dict[str, Any]
Records = Mapping[str, Sequence[Record]]


@dataclass(frozen=True)
class Share:
    """A mean over training seeds with its spread."""

    mean: float
    spread: float
    """Standard deviation over seeds; 0 for one seed."""


def accuracy(records: Sequence[Record], kind: str = "") -> Share | None:
    """Return the share of right answers over seeds, in percent; None without any.

    Without a kind it is the mean over kinds, so that frequent kinds do not count more.
    """
    seeds: dict[int, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if not kind or record["kind"] == kind:
            seeds[record["training_seed"]][record["kind"]].append(record["right"])
    if not seeds:
        return None
    return _over_seeds(
        [100 * fmean(map(fmean, kinds.values())) for kinds in seeds.values()]
    )


def _over_seeds(values: Sequence[float]) -> Share:
    return Share(fmean(values), stdev(values) if len(values) > 1 else 0.0)


def evidence_recall(records: Sequence[Record]) -> tuple[float, float] | None:
    """Return the recall of the evidence and the share of fine frames, in percent.

    Recall is the share of questions whose evidence holds a fine frame. None where no
    frame is encoded finely.
    """
    asked = [r for r in records if r["evidence_seen"] is not None]
    if not asked:
        return None
    seen = 100 * fmean(r["evidence_seen"] for r in asked)
    return seen, 100 * fmean(r["fine_share"] for r in asked)


def agreement(experiment: Experiment, records: Records, plan: Plan) -> str:
    """Say what the paper found and whether the rows stand in its order.

    Rows are compared pair by pair, by the first column of the paper's figures; without
    such figures the best row of each test set is named.
    """
    said = f"The paper: {experiment.expects}."
    rows = [
        (arm.paper[0], own.mean)
        for arm in experiment.arms
        if arm.paper and (own := accuracy(records[arm.name])) is not None
    ]
    pairs = [(a, b) for a, b in combinations(rows, 2) if a[0] != b[0]]
    if not pairs:
        best = [_best(experiment, records, test.title) for test in plan.sets]
        return f"{said} Best here: {'; '.join(best)}."
    same = sum((a[0] - b[0]) * (a[1] - b[1]) > 0 for a, b in pairs)
    verdict = "agrees" if 2 * same > len(pairs) else "does not agree"
    return (
        f"{said} {same} of {len(pairs)} pairs of rows stand in its order "
        f"({experiment.paper_columns[0]}): the direction {verdict}."
    )


def _best(experiment: Experiment, records: Records, test: str) -> str:
    means = {
        arm.label: own.mean
        for arm in experiment.arms
        if (own := accuracy(of_set(records[arm.name], test))) is not None
    }
    return f"{max(means, key=lambda label: means[label])} ({test})"


def write_experiment(
    experiment: Experiment,
    records: Records,
    plan: Plan,
    folder: str | Path,
    *,
    command: str,
    commit: str,
    more: Sequence[str] = (),
) -> Path:
    """Write NAME.md, NAME.json and NAME.png and return the first.

    Args:
        experiment: What was run.
        records: The records of each arm by name.
        plan: What the arms shared.
        folder: Created if missing.
        command: What was typed.
        commit: Of the source.
        more: Lines to add after the tables.
    """
    name = (
        experiment.name
        if experiment.name == "methods"
        else f"ablation-{experiment.name}"
    )
    arms = {
        arm.name: asdict(arm) | {"results": _results(records[arm.name], plan)}
        for arm in experiment.arms
    }
    body = [
        _describe(plan),
        "",
        *(
            line
            for test in plan.sets
            for line in _table(experiment, records, plan, test.title)
        ),
        *more,
        f"{agreement(experiment, records, plan)} ({experiment.source}.)",
        "",
    ]
    return write_page(
        folder,
        name,
        title=experiment.title,
        command=command,
        commit=commit,
        facts={"plan": asdict(plan), "arms": arms},
        body=body,
        picture=draw_experiment(experiment, records, plan),
        caption=experiment.title,
    )


def _describe(plan: Plan) -> str:
    lengths = {
        test.name: f"{test.name}: {test.num_videos} unseen videos of "
        f"{test.seconds[0]:g} to {test.seconds[1]:g} s at {plan.fps:g} fps"
        for test in plan.sets
    }
    sets = "; ".join(lengths.values())
    if any(test.max_tokens for test in plan.sets):
        sets += (
            ". Where at most so many tokens are read, each system reads as many frames "
            "as they pay for: even ones, but DynFocus those of its events"
        )
    low, high = plan.training_seconds
    return (
        f"Each row: a fresh connector before the same language model, {plan.num_steps} steps "
        f"of {plan.batch_size} questions on {plan.num_training_videos} videos of {low:g} to "
        f"{high:g} s thinned to {plan.max_training_frames} frames, training seeds "
        f"{', '.join(map(str, plan.seeds))}. {sets}. Exact match in percent, mean"
        + (" and standard deviation over seeds." if len(plan.seeds) > 1 else ".")
    )


def of_set(records: Sequence[Record], test: str) -> list[Record]:
    """Return the records of one test set."""
    return [record for record in records if record["set"] == test]


def _results(records: Sequence[Record], plan: Plan) -> dict[str, Any]:
    results = {}
    for test in plan.sets:
        asked = of_set(records, test.title)
        kinds = {kind: accuracy(asked, kind) for kind in plan.kinds}
        results[test.title] = {
            "questions": len(asked),
            "mean": _plain(accuracy(asked)),
            "kinds": {kind: _plain(value) for kind, value in kinds.items()},
            "video_tokens": fmean(r["tokens"] for r in asked),
            "seconds": fmean(r["seconds"] for r in asked),
            "first_seconds": fmean(r["seconds"] + r["prepare_seconds"] for r in asked),
            "evidence_recall_and_fine_share": evidence_recall(asked),
        }
    return results


def _plain(value: Share | None) -> dict[str, float] | None:
    return None if value is None else asdict(value)


def _table(
    experiment: Experiment, records: Records, plan: Plan, test: str
) -> list[str]:
    """Write the Markdown table of one test set."""
    kinds = list(plan.kinds)
    head = [test, "tokens", *kinds, "mean", "s a question", "s the first"]
    head += [
        "evidence seen / fine frames",
        *(f"paper: {c}" for c in experiment.paper_columns),
    ]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for arm in experiment.arms:
        asked = of_set(records[arm.name], test)
        recall = evidence_recall(asked)
        cells = [arm.label, f"{fmean(r['tokens'] for r in asked):.0f}"]
        cells += [_show(accuracy(asked, kind)) for kind in kinds]
        cells += [_show(accuracy(asked))]
        cells += [f"{fmean(r['seconds'] for r in asked):.2f}"]
        cells += [f"{fmean(r['seconds'] + r['prepare_seconds'] for r in asked):.2f}"]
        cells += ["-" if recall is None else f"{recall[0]:.0f} / {recall[1]:.0f}"]
        cells += [f"{value:g}" for value in arm.paper]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _show(value: Share | None) -> str:
    if value is None:
        return "-"
    spread = f" ± {value.spread:.1f}" if value.spread else ""
    return f"{value.mean:.1f}{spread}"


def draw_experiment(experiment: Experiment, records: Records, plan: Plan) -> Figure:
    """Draw mean accuracy of each test set over the tokens, or over ``x``, or as bars."""
    if experiment.name == "methods":
        return _draw_tokens(experiment, records, plan)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    draw: Callable[..., None] = _draw_line if experiment.axis else _draw_bars
    for number, test in enumerate(plan.sets):
        draw(axes, experiment, records, test.title, number)
    axes.set_title(experiment.title)
    axes.legend()
    return figure


def _draw_line(
    axes: Any, experiment: Experiment, records: Records, test: str, number: int
) -> None:
    rows = [
        (arm.x, accuracy(of_set(records[arm.name], test))) for arm in experiment.arms
    ]
    shown = [(x, own) for x, own in rows if own is not None]
    axes.errorbar(
        [x for x, _ in shown],
        [own.mean for _, own in shown],
        yerr=[own.spread for _, own in shown],
        marker="o",
        label=test,
    )
    axes.set_xlabel(experiment.axis)
    axes.set_ylabel("accuracy, %")


def _draw_tokens(experiment: Experiment, records: Records, plan: Plan) -> Figure:
    """Draw accuracy over tokens, a panel for each length, a line for each system."""
    lengths = list(dict.fromkeys(test.name for test in plan.sets))
    figure = Figure(figsize=(3 + 3.5 * len(lengths), 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(lengths), sharey=True, squeeze=False)[0]
    for axes, length in zip(panels, lengths, strict=True):
        titles = [test.title for test in plan.sets if test.name == length]
        for place, arm in enumerate(experiment.arms):
            asked = [of_set(records[arm.name], title) for title in titles]
            known = [(own, found) for found in asked if (own := accuracy(found))]
            points = sorted(
                (fmean(r["tokens"] for r in found), own.mean, own.spread)
                for own, found in known
            )
            tokens, means, spreads = zip(*points, strict=True)
            label = arm.label if length == lengths[0] else None
            axes.errorbar(
                tokens, means, yerr=spreads, marker="o", color=f"C{place}", label=label
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(_TOKEN_TICKS))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(f"{length} videos")
        axes.set_xlabel("video tokens read")
    panels[0].set_ylabel("accuracy, %")
    figure.suptitle(experiment.title)
    figure.legend(loc="outside right upper")
    return figure


def _draw_bars(
    axes: Any, experiment: Experiment, records: Records, test: str, number: int
) -> None:
    rows = [
        (arm.label, accuracy(of_set(records[arm.name], test)))
        for arm in experiment.arms
    ]
    shown = [(label, own) for label, own in rows if own is not None]
    places = [-place - 0.35 * number for place in range(len(shown))]
    axes.barh(
        places,
        [own.mean for _, own in shown],
        height=0.33,
        xerr=[own.spread for _, own in shown],
        label=test,
    )
    axes.set_yticks([-place - 0.18 for place in range(len(shown))])
    axes.set_yticklabels([label for label, _ in shown])
    axes.set_xlabel("accuracy, %")
