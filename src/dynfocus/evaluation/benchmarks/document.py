"""The page of a benchmark's result, made from its JSON document alone."""

from __future__ import annotations

from typing import Any

from dynfocus.evaluation.benchmarks.options import describe_differences
from dynfocus.evaluation.metrics import Estimate
from dynfocus.evaluation.pages import Document, Layout, table
from dynfocus.text import plural

_STATES = {
    "unparsed": "answered without a readable verdict or letter",
    "missing": "without their video",
    "failed": "failed",
}


def lay_out(document: Document) -> Layout:
    """Make the page of a result of `running.run_benchmark`."""
    body = [_describe(document), ""]
    figures = document["figures"]
    if figures:
        rows = [_row(figure) for figure in figures if not figure["is_beside"]]
        body += table(["", "value", "questions"], rows)
        beside = [_row(figure) for figure in figures if figure["is_beside"]]
        body += ["By other rules:", "", *table(["", "value", "questions"], beside)]
    for text in (_judge(document["judge"]), _cost(document), _missing(document)):
        body += [text, ""] if text else []
    for note in document["data_notes"]:
        body += [f"Data: {note}.", ""]
    return Layout(body=body)


def _row(figure: Document) -> list[str]:
    unit = "" if figure["unit"] == "%" else f" {figure['unit']}"
    digits = 1 if figure["unit"] == "%" else 2
    value = show_estimate(Estimate(**figure["estimate"]), digits)
    return [figure["label"], f"{value}{unit}", f"{figure['num_questions']:,}"]


def show_estimate(estimate: Estimate, digits: int = 1) -> str:
    """Write a value with its interval."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.{digits}f}"
    return (
        f"{estimate.value:.{digits}f} "
        f"({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"
    )


def _describe(document: Document) -> str:
    counts = document["counts"]
    text = (
        f"{plural(counts['questions'], 'question')} about "
        f"{plural(counts['videos'], 'video')}, split {document['split']}"
    )
    if counts["questions"] < counts["of"]:
        text += f", a fixed sample of {counts['of']:,}"
    told = [f"{counts[s]:,} {words}" for s, words in _STATES.items() if counts[s]]
    text += f"; {counts['answered']:,} answered" + "".join(f", {one}" for one in told)
    rules = describe_differences(document["rules"]) or "all by default"
    return f"{text}. Rules: {rules}. In brackets the 95 % interval over videos."


def _judge(judge: dict[str, Any] | None) -> str:
    if judge is None:
        return ""
    if judge["name"] is None:
        return f"{plural(judge['not_judged'], 'answer')} not judged, since no judge was named."
    prompts = ", ".join(f"{name} {value}" for name, value in judge["prompts"].items())
    return (
        f"Judge: {judge['name']}, prompts {prompts}; {judge['judged']:,} verdicts, "
        f"{judge['malformed']:,} malformed, {judge['refused']:,} refused."
    )


def _cost(document: Document) -> str:
    if document["mean_video_tokens"] is None:
        return ""
    manifest = document["manifest"]
    ask = {k: v for k, v in manifest["ask"].items() if v not in (None, [])}
    told = ", ".join(f"{name} {value}" for name, value in ask.items())
    sizes = " and ".join(f"{h} x {w}" for h, w in manifest["resolutions"])
    told += f", frames of {sizes} pixels" if sizes else ""
    return (
        f"On average {document['mean_video_tokens']:.0f} video tokens, "
        f"{document['mean_frames']:.0f} frames and {document['mean_seconds']:.2f} s a "
        f"question. Asked with {told}; weights {str(manifest['weights'])[:16]}, "
        f"{manifest['decoder']}."
    )


def _missing(document: Document) -> str:
    missing = document["missing_videos"]
    return f"Missing videos: {', '.join(missing)}." if missing else ""
