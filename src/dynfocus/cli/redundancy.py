"""``dynfocus redundancy``: how many frames of videos repeat, and how many are irrelevant."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import load_model, print_json, progress_bar, say, warn
from dynfocus.cli.options import Fps, Json, MaxFrames

if TYPE_CHECKING:
    from dynfocus.bulk import Row
    from dynfocus.evaluation.experiments.redundancy import VideoRedundancy
    from dynfocus.methods import FrameScorer

_PICTURES = (".png", ".svg", ".pdf")


def _share(value: float) -> float:
    if not 0 < value < 1:
        raise typer.BadParameter(f"{value:g} is not between 0 and 1")
    return value


@command(
    "dynfocus redundancy clip.mp4 --out redundancy.png",
    "dynfocus redundancy worlds/videos/test-000003.mp4 --encoder nano "
    "--questions worlds/benchmark.jsonl",
)
def redundancy(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES...", help="Video files.")
    ],
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            metavar="NAME",
            help='An image-text encoder: a folder, a name on the hub, or "nano" for '
            "FocusWorld videos. By default colours and edges, for repetition alone.",
        ),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            metavar="FILE",
            help="JSON lines with video, question, answer and, where known, evidence.",
        ),
    ] = None,
    repeat_threshold: Annotated[
        float,
        typer.Option(
            callback=_share, help="Above this score a frame repeats the one before."
        ),
    ] = 0.8,
    relevance_threshold: Annotated[
        float,
        typer.Option(callback=_share, help="Below this score a frame is irrelevant."),
    ] = 0.5,
    fps: Fps = 1.0,
    max_frames: MaxFrames = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Histograms as .png, .svg or .pdf."),
    ] = None,
    json: Json = False,
) -> None:
    """Measure how redundant videos are: repeated frames and irrelevant frames.

    These are the statistics of the paper's appendix A (Eq. 14, 15). The paper does not
    name its thresholds, so look at the histograms before you compare numbers.
    """
    from dynfocus.atomic import check_writable
    from dynfocus.evaluation.experiments.redundancy import (
        draw_histograms,
        load_questions,
        measure_redundancy,
    )

    if out is not None:
        if out.suffix.lower() not in _PICTURES:
            raise typer.BadParameter(
                f"--out must end in {', '.join(_PICTURES)}, got {out.name!r}"
            )
        check_writable(out, what="the histograms")
    asked = load_questions(questions) if questions is not None else []
    scorer = None if encoder is None else _load_scorer(encoder)
    found = []
    for file in files:
        with progress_bar(f"Reading {file.name}") as progress:
            found.append(
                measure_redundancy(
                    file,
                    scorer,
                    _questions_about(file, asked),
                    with_answers=encoder != "nano",
                    fps=fps,
                    max_frames=max_frames,
                    progress=progress,
                )
            )
    if asked and not any(video.relevance for video in found):
        warn(f"{questions} has no question about these files")
    if out is not None:
        draw_histograms(out, found, (repeat_threshold, relevance_threshold))
        say(f"histograms: {out}")
    rows = [_row(video, repeat_threshold, relevance_threshold) for video in found]
    if json:
        print_json(
            {
                "encoder": encoder or "colours and edges",
                "repeat_threshold": repeat_threshold,
                "relevance_threshold": relevance_threshold,
                "videos": rows,
                "mean": _mean(rows),
            }
        )
        return
    if len(rows) > 1:
        rows.append({"video": "mean", **_mean(rows)})
    for row in rows:
        print(_sentence(row))


def _load_scorer(name: str) -> FrameScorer:
    from dynfocus.backends.frame_scorers import load_frame_scorer

    return load_frame_scorer(name, partial(load_model, index_folder=False))


def _questions_about(file: Path, asked: list[Row]) -> list[Row]:
    return [row for row in asked if row.video == str(file.resolve())]


def _row(video: VideoRedundancy, repeat: float, relevance: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "video": video.name,
        "frames": video.num_frames,
        "repeated": round(video.repeated(repeat), 4),
    }
    irrelevant = video.irrelevant(relevance)
    if irrelevant is not None:
        row["questions"] = len(video.relevance)
        row["irrelevant"] = round(irrelevant, 4)
    truth = video.against_truth(relevance)
    if truth is not None:
        row["outside_evidence"] = round(truth[0], 4)
        row["evidence_called_irrelevant"] = round(truth[1], 4)
    return row


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("repeated", "irrelevant", "outside_evidence", "evidence_called_irrelevant")
    mean: dict[str, Any] = {}
    for name in names:
        values = [row[name] for row in rows if name in row]
        if values:
            mean[name] = round(sum(values) / len(values), 4)
    return mean


def _sentence(row: dict[str, Any]) -> str:
    parts = [f"{100 * row['repeated']:.1f} % repeated"]
    if "irrelevant" in row:
        parts.append(f"{100 * row['irrelevant']:.1f} % irrelevant")
    if "outside_evidence" in row:
        parts.append(f"{100 * row['outside_evidence']:.1f} % outside the evidence")
        lost = 100 * row["evidence_called_irrelevant"]
        parts.append(f"{lost:.1f} % of the evidence called irrelevant")
    return f"{row['video']}: {', '.join(parts)}"
