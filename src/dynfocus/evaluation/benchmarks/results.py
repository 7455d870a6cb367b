"""The document of a benchmark's result: its figures, and with what they were made."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from dynfocus.evaluation.benchmarks.asking import RunSettings
from dynfocus.evaluation.benchmarks.key_frames import key_frame_figures
from dynfocus.evaluation.benchmarks.loading import OpenedBenchmark, find_oddities
from dynfocus.evaluation.judges.grading import Grades
from dynfocus.text import plural

Records = list[dict[str, Any]]


def summarise(
    opened: OpenedBenchmark,
    settings: RunSettings,
    marked: Records,
    grades: Grades | None,
    scored: str,
) -> dict[str, Any]:
    """Make the document of a result.

    Args:
        opened: The questions.
        settings: What answered, and how.
        marked: Marked records.
        grades: What a judge said.
        scored: Name of the file with the marks.
    """
    benchmark, options = opened.benchmark, opened.options
    benchmark.pair_up(marked)
    needs_judge = [r for r in marked if benchmark.to_judge(r)]
    figured = marked
    if grades is None:  # what nobody judged has no figure
        kinds = {record["kind"] for record in needs_judge}
        figured = [record for record in marked if record["kind"] not in kinds]
    figures = benchmark.figures(figured, options) if figured else []
    figures += key_frame_figures(marked, benchmark.key_frames)
    answered = [r for r in marked if "error" not in r]
    states = Counter(record["state"] for record in marked)
    return {
        "kind": "benchmark",
        "title": f"{benchmark.title}: {settings.model}",
        "benchmark": benchmark.name,
        "model": settings.model,
        "split": opened.split,
        "figures": [figure.to_dict() for figure in figures],
        "counts": {
            "questions": len(marked),
            "of": len(opened.items),
            "videos": len({r["video"] for r in marked}),
            **{s: states[s] for s in ("answered", "unparsed", "missing", "failed")},
        },
        "missing_videos": list(
            dict.fromkeys(r["video"] for r in marked if r["state"] == "missing")
        ),
        "first_error": next(
            (r["error"] for r in marked if r["state"] == "failed"), None
        ),
        "rules": options.to_dict(),
        "manifest": _manifest(opened, settings, answered),
        "judge": _describe_judge(grades, len(needs_judge)),
        "mean_video_tokens": _mean(answered, "tokens"),
        "mean_frames": _mean(answered, "num_frames"),
        "mean_seconds": _mean(answered, "seconds"),
        "scored": scored,
        "averages_kinds": benchmark.averages_kinds(options),
        "data_notes": [*opened.loaded.notes, *find_oddities(opened.items)],
        "submission": _submission(opened, marked),
    }


def _manifest(
    opened: OpenedBenchmark, settings: RunSettings, answered: Records
) -> dict[str, Any]:
    """Say with what the answers were made; the commit and the command are added later."""
    import av

    return {
        "model": settings.model,
        "weights": answered[0]["weights"] if answered else None,
        "ask": {**asdict(settings.ask), "max_new_tokens": settings.max_new_tokens},
        "resolutions": _resolutions(answered),
        "limit": settings.limit,
        "decoder": f"PyAV {av.__version__}",
        "annotations": [path.name for path in opened.loaded.files],
        "shape": opened.loaded.shape,
    }


def _resolutions(answered: Records) -> list[list[int]]:
    """List the sizes of frames that were read, as height and width, each once."""
    found = {tuple(r["resolution"]) for r in answered if "resolution" in r}
    return [list(one) for one in sorted(found)]


def _describe_judge(grades: Grades | None, num_needed: int) -> dict[str, Any] | None:
    if not num_needed:
        return None
    if grades is None:
        return {"name": None, "not_judged": num_needed}
    return {
        "name": grades.judge,
        "prompts": grades.prompts,
        "calls": grades.num_calls,
        "waits": grades.num_waits,
        **grades.counts,
    }


def _mean(records: Records, name: str) -> float | None:
    known = [r[name] for r in records if r.get(name) is not None]
    return sum(known) / len(known) if known else None


def _submission(opened: OpenedBenchmark, marked: Records) -> Any:
    """Give what the benchmark's server takes, for questions without public answers."""
    make = opened.benchmark.submission
    unknown = [record for record in marked if not record["truth"]]
    if make is None or not unknown or opened.options.submission == "none":
        return None
    return make(unknown)


def describe_missing(document: dict[str, Any]) -> str | None:
    """Say which videos are missing, in a sentence; None if none is."""
    missing = document["missing_videos"]
    if not missing:
        return None
    shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    how = document["rules"]["missing_videos"]
    counted = "counted wrong" if how == "wrong" else "left out of the count"
    return (
        f"{plural(len(missing), 'video')} missing ({shown}): "
        f"{plural(document['counts']['missing'], 'question')} {counted}"
    )


def describe_failed(document: dict[str, Any]) -> str | None:
    """Say how many questions failed and why the first did; None if none did."""
    if document["first_error"] is None:
        return None
    return (
        f"{plural(document['counts']['failed'], 'question')} failed, the first: "
        f"{document['first_error']}; the same command asks again"
    )
