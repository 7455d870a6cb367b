"""Experiments as documents and pages: accuracy with intervals, the paper's figures beside.

A record of an experiment also has ``set``, ``training_seed``, ``tokens``, ``seconds``,
``prepare_seconds``, ``fine_share`` and ``evidence_seen``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from operator import itemgetter
from statistics import fmean, median, stdev
from typing import Any

from matplotlib.figure import Figure

from dynfocus.evaluation.experiments.plans import Experiment, Plan
from dynfocus.evaluation.metrics import (
    Estimate,
    Record,
    accuracy,
    answer_constantly,
    paired_difference,
)
from dynfocus.evaluation.pages import (
    Document,
    Layout,
    Line,
    draw_bars,
    draw_lines,
    table,
)

Records = Mapping[str, Sequence[Record]]
"""The records of each variant by its name."""

_BASES = ("base", "slow-base")
"""Rows that others are compared with."""


def make_document(
    experiment: Experiment, records: Records, plan: Plan
) -> dict[str, Any]:
    """Make the document of an experiment.

    Args:
        experiment: What was run.
        records: The records of each variant.
        plan: What the variants shared.

    Returns:
        For each variant and test set the accuracy by kind, its mean over kinds, the
        paired difference of that mean to the reference row, tokens and seconds; for each
        set the best constant answer and the best row.
    """
    names = [one.name for one in experiment.variants if one.shown != "evidence"]
    reference = next((name for name in names if name in _BASES), names[0])
    titles = [test.title for test in plan.sets]
    variants = {
        variant.name: asdict(variant)
        | {
            "results": {
                title: _results(
                    of_set(records[variant.name], title),
                    of_set(records[reference], title),
                    plan.kinds,
                )
                for title in titles
            }
        }
        for variant in experiment.variants
    }
    some = records[reference]
    constant = {title: answer_constantly(of_set(some, title)) for title in titles}
    facts = asdict(experiment)
    del facts["variants"]
    return {
        "kind": "experiment",
        **facts,
        "plan": asdict(plan),
        "reference": reference,
        "variants": variants,
        "constant": {
            title: _accuracies(found, plan.kinds) for title, found in constant.items()
        },
        "best": {title: _best(names, records, title) for title in titles},
        "order": _compare_order(experiment, records, titles[0]),
    }


def of_set(records: Sequence[Record], title: str) -> list[Record]:
    """Return the records of one test set."""
    return [record for record in records if record["set"] == title]


def _results(
    asked: Sequence[Record], reference: Sequence[Record], kinds: Sequence[str]
) -> dict[str, Any]:
    timed = [
        {**r, "right": r["overlap"]} for r in asked if r.get("overlap") is not None
    ]
    return {
        "questions": len(asked),
        "mean_overlap": asdict(accuracy(timed)) if timed else None,
        **_accuracies(asked, kinds),
        "spread": _spread(asked),
        "difference": asdict(paired_difference(asked, reference, over_kinds=True)),
        "video_tokens": fmean(r["tokens"] for r in asked),
        "seconds": median(r["seconds"] for r in asked),
        "first_seconds": median(r["seconds"] + r["prepare_seconds"] for r in asked),
        "evidence_recall_and_fine_share": evidence_recall(asked),
    }


def _accuracies(records: Sequence[Record], kinds: Sequence[str]) -> dict[str, Any]:
    by_kind = {kind: [r for r in records if r["kind"] == kind] for kind in kinds}
    return {
        "mean": asdict(accuracy(records, over_kinds=True)),
        "kinds": {
            kind: asdict(accuracy(found)) if found else None
            for kind, found in by_kind.items()
        },
    }


def _spread(records: Sequence[Record]) -> float | None:
    """Return the standard deviation of the mean over training seeds, in percent."""
    seeds: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        seeds[record["training_seed"]].append(record)
    means = [accuracy(found, over_kinds=True).value for found in seeds.values()]
    return stdev(means) if len(means) > 1 else None


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


def _best(names: Sequence[str], records: Records, title: str) -> dict[str, Any]:
    """Name the best row of a test set; clear if it is above each other one."""
    asked = {name: of_set(records[name], title) for name in names}
    means = {name: accuracy(asked[name], over_kinds=True).value for name in names}
    best = max(names, key=lambda name: means[name])
    gaps = [
        paired_difference(asked[best], asked[name], over_kinds=True)
        for name in names
        if name != best
    ]
    return {"name": best, "is_clear": all(gap.verdict == "better" for gap in gaps)}


def _compare_order(
    experiment: Experiment, records: Records, title: str
) -> dict[str, int] | None:
    """Count pairs of rows in the paper's order, against it and undecided."""
    rows = [(v.paper[0], v.name) for v in experiment.variants if v.paper]
    counts = {"same": 0, "opposite": 0, "undecided": 0}
    for (figure, name), (other_figure, other) in combinations(rows, 2):
        if figure == other_figure:
            continue
        one, two = (of_set(records[n], title) for n in (name, other))
        verdict = paired_difference(one, two, over_kinds=True).verdict
        if verdict == "undecided":
            counts["undecided"] += 1
        else:
            is_same = (verdict == "better") == (figure > other_figure)
            counts["same" if is_same else "opposite"] += 1
    return counts if any(counts.values()) else None


def lay_out(document: Document) -> Layout:
    """Make the page of an experiment."""
    body = [describe(document), ""]
    for test in document["plan"]["sets"]:
        body += _table(document, title_of(test))
    for table_lines in document.get("more", []):
        body += [*table_lines, ""]
    body += [agreement(document), ""]
    return Layout(body=body, picture=draw(document))


def title_of(test: Document) -> str:
    """Name a test set of a document as `WorldBenchmark.title` does."""
    if test["max_video_tokens"] is None:
        return str(test["name"])
    return f"{test['name']}, at most {test['max_video_tokens']} tokens"


def describe(document: Document) -> str:
    """Say under which conditions the rows are compared, and which are not equal."""
    plan = document["plan"]
    lengths = {
        test["name"]: f"{test['name']}: {test['num_videos']} test videos of "
        f"{test['seconds'][0]:g} to {test['seconds'][1]:g} s, seeds from {test['seed']}"
        for test in plan["sets"]
    }
    low, high = plan["training_seconds"]
    taught = [
        variant["label"]
        for variant in document["variants"].values()
        if variant["options"].get("scores") == "start"
    ]
    if any(v["connector"] == "slowfocus" for v in document["variants"].values()):
        return " ".join([*_of_slowfocus(plan), *_conditions(plan, lengths)])
    sentences = [
        f"Equal in each row: the language model and text encoder of `{plan['start']}`, "
        f"frozen features, {plan['num_steps']} steps of {plan['batch_size']} questions on "
        f"{plan['num_training_videos']} videos of {low:g} to {high:g} s thinned to "
        f"{plan['max_training_frames']} frames, training seeds "
        f"{', '.join(map(str, plan['seeds']))}.",
        "Not equal: a row inherits the start's projectors where it has the same module, "
        "and these were trained for DynFocus's tokens; what a row lacks there is fresh.",
    ]
    if taught:
        sentences.append(
            "Begun with a score network, and a rating if they have one, that were taught "
            f"with the times of the evidence: {'; '.join(taught)}. No other row was."
        )
    told = [
        variant["label"]
        for variant in document["variants"].values()
        if variant.get("shown", "all") == "evidence"
    ]
    if told:
        sentences.append(
            "Told which frames hold the answer, as no system is, and to be read as a bound: "
            f"{'; '.join(told)}."
        )
    sentences += _conditions(plan, lengths)
    if any(test["max_video_tokens"] for test in plan["sets"]):
        sentences.append(
            "Where at most so many tokens are read, each system reads as many frames as "
            "they pay for: even ones, but DynFocus those of its events."
        )
    return " ".join(sentences)


def _of_slowfocus(plan: Document) -> list[str]:
    """Say what rows of SlowFocus share."""
    low, high = plan["training_seconds"]
    return [
        f"Equal in each row but those of other stages: the weights of `{plan['start']}`, "
        f"{plan['num_steps']} steps of {plan['batch_size']} conversations on "
        f"{plan['num_training_videos']} videos of {low:g} to {high:g} s of the widened "
        f"world, thinned to {plan['max_training_frames']} frames of the low frequency, "
        f"training seeds {', '.join(map(str, plan['seeds']))}.",
        "Not equal: the start has learned with a table of its own size, from which one of "
        "another size takes rows, and with a grid of its own. mIoU is of the questions "
        "that an interval answers.",
    ]


def _conditions(plan: Document, lengths: Mapping[str, str]) -> list[str]:
    """Say what is asked and how that is counted."""
    sentences = [
        f"{'; '.join(lengths.values())}; at {plan['fps']:g} fps.",
        "Exact match in percent, in brackets the 95 % interval over videos where it is "
        "known.",
    ]
    if len(plan["seeds"]) > 1:
        sentences.append("± is the standard deviation over training seeds alone.")
    return sentences


def _table(document: Document, title: str) -> list[str]:
    """Write the Markdown table of one test set."""
    kinds = list(document["plan"]["kinds"])
    reference = document["variants"][document["reference"]]["label"]
    has_overlap = any(
        one["results"][title].get("mean_overlap")
        for one in document["variants"].values()
    )
    head = [title, "tokens", *kinds, "mean", f"against {reference}"]
    head += ["mIoU"] * has_overlap
    head += ["s a question", "s the first", "evidence seen / fine frames"]
    head += [f"paper: {column}" for column in document["paper_columns"]]
    rows = []
    for name, variant in document["variants"].items():
        own = variant["results"][title]
        recall = own["evidence_recall_and_fine_share"]
        gap = Estimate(**own["difference"])
        rows.append(
            [
                variant["label"],
                f"{own['video_tokens']:.0f}",
                *_cells(own, kinds),
                "-" if name == document["reference"] else gap.as_difference(),
                *([str(Estimate(**own["mean_overlap"]))] if has_overlap else ()),
                f"{own['seconds']:.2f}",
                f"{own['first_seconds']:.2f}",
                "-" if recall is None else f"{recall[0]:.0f} / {recall[1]:.0f}",
                *(f"{value:g}" for value in variant["paper"]),
            ]
        )
    constant = _cells(document["constant"][title], kinds)
    rows.append(
        ["best constant answer", "0", *constant, *["-"] * (len(head) - 3 - len(kinds))]
    )
    return table(head, rows)


def _cells(found: Document, kinds: Sequence[str]) -> list[str]:
    cells = [
        "-" if found["kinds"][kind] is None else f"{found['kinds'][kind]['value']:.1f}"
        for kind in kinds
    ]
    spread = f" ± {found['spread']:.1f}" if found.get("spread") else ""
    return [*cells, f"{Estimate(**found['mean'])}{spread}"]


def agreement(document: Document) -> str:
    """Say what the paper found, and whether that is seen here.

    Rows are compared pair by pair on the first test set, by the first column of the
    paper's figures; the direction agrees only where every pair is decided and stands in
    the paper's order. Without such figures the best row of each test set is named.
    """
    said = f"The paper: {document['expects']} ({document['source']})."
    order = document["order"]
    if order is None:
        places: dict[str, list[str]] = defaultdict(list)
        for title, found in document["best"].items():
            label = document["variants"][found["name"]]["label"]
            places[label].append(title + ("" if found["is_clear"] else " (undecided)"))
        best = [f"{label}: {'; '.join(titles)}" for label, titles in places.items()]
        return f"{said} Highest mean here: {'. '.join(best)}."
    total = sum(order.values())
    if order["same"] == total:
        verdict = "agrees"
    else:
        verdict = "does not agree" if order["opposite"] else "is undecided"
    return (
        f"{said} Of {total} pairs of rows ({document['paper_columns'][0]}) {order['same']} "
        f"differ in its order and {order['opposite']} against it by more than the 95 % "
        f"interval over videos allows for chance; {order['undecided']} are undecided. The "
        f"direction {verdict}."
    )


def draw(document: Document) -> Figure:
    """Draw mean accuracy over the tokens, or over ``x``, or as bars."""
    tests = document["plan"]["sets"]
    variants = [v for v in document["variants"].values() if v.get("shown") != "nothing"]
    lengths: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        lengths[f"{test['name']} videos"].append(title_of(test))
    if not document["axis"] and len(tests) == 1:
        (title,) = map(title_of, tests)
        return draw_bars({v["label"]: _mean(v["results"][title]) for v in variants})
    if document["axis"]:
        drawn = {
            length: [_line("", [(v["x"], v["results"][titles[0]]) for v in variants])]
            for length, titles in lengths.items()
        }
        return draw_lines(drawn, document["axis"])
    drawn = {
        length: [
            _line(
                variant["label"],
                [
                    (own["video_tokens"], own)
                    for own in (variant["results"][title] for title in titles)
                ],
            )
            for variant in variants
        ]
        for length, titles in lengths.items()
    }
    return draw_lines(drawn, "video tokens read", is_log=True)


def _line(label: str, results: Sequence[tuple[float, Document]]) -> Line:
    points = [(x, _mean(result)) for x, result in sorted(results, key=itemgetter(0))]
    return Line(label=label, points=points)


def _mean(result: Document) -> Estimate:
    """Give a mean with its interval, or with its spread over training seeds."""
    mean = Estimate(**result["mean"])
    if mean.low is not None or not result["spread"]:
        return mean
    spread = result["spread"]
    return Estimate(mean.value, mean.value - spread, mean.value + spread)
