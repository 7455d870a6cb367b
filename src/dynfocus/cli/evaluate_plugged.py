"""``dynfocus eval plugged``: what a plugged model keeps of its accuracy."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from dynfocus.cli.console import print_json, say
from dynfocus.cli.evaluate_options import (
    LongVideos,
    MediumVideos,
    Out,
    Runs,
    ShortVideos,
)
from dynfocus.cli.options import Fps, Json, at_least_one


def plugged(
    host: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A vision language model: a folder or a hub name."
        ),
    ],
    scorer: Annotated[
        str | None,
        typer.Option(
            "--scorer", help="A dual encoder that compares frames with the question."
        ),
    ] = None,
    out: Out = Path("docs/results"),
    runs: Runs = Path("runs/plugged"),
    short_videos: ShortVideos = 12,
    medium_videos: MediumVideos = 4,
    long_videos: LongVideos = 1,
    share: Annotated[
        list[float] | None,
        typer.Option(
            "--share", help="Budget as a share of all tokens; may be repeated."
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", help="Kind of question; may be repeated. [default: six kinds]"
        ),
    ] = None,
    max_per_kind: Annotated[
        int,
        typer.Option(
            "--max-per-kind",
            callback=at_least_one,
            help="Questions of a kind about a video; presence: so many pairs.",
        ),
    ] = 2,
    fps: Fps = 1.0,
    max_frames: Annotated[
        int,
        typer.Option(
            "--max-frames", callback=at_least_one, help="Frames of a video at most."
        ),
    ] = 900,
    json: Json = False,
) -> None:
    """Measure what a model keeps of its accuracy with fewer video tokens.

    Asks a vision language model about unseen FocusWorld videos with all its tokens, and
    with a part of them chosen by DynFocus, as even frames, and by the published rules BOLT
    and AKS. Nothing is trained. Answers are kept as they come, so a run that was stopped
    continues.
    """
    from transformers.utils import logging

    from dynfocus.evaluation.experiments.plans import usual_sets
    from dynfocus.evaluation.experiments.plugged import PluggedPlan, measure_plugged
    from dynfocus.evaluation.experiments.plugged_page import write_plugged
    from dynfocus.provenance import source_commit

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    plan = PluggedPlan(
        host=host,
        scorer=scorer,
        sets=usual_sets(short_videos, medium_videos, long_videos),
        shares=tuple(sorted(set(share or (0.1, 0.25, 0.5)))),
        fps=fps,
        max_frames=max_frames,
        max_per_kind=max_per_kind,
        **({"kinds": tuple(dict.fromkeys(kind))} if kind else {}),
    )
    records = measure_plugged(plan, runs / "answers.jsonl", say)
    command = shlex.join(["dynfocus", *sys.argv[1:]])
    page = write_plugged(records, plan, out, command=command, commit=source_commit())
    if json:
        print_json({"page": str(page), "picture": str(page.with_suffix(".png"))})
    else:
        print(page.read_text(encoding="utf-8"))
