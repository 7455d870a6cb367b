"""``dynfocus timeline`` and ``storyboard``: a video as one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import (
    check_video,
    clean_question,
    load_model,
    print_json,
    progress_bar,
    say,
    warn,
)
from dynfocus.cli.options import (
    Excerpt,
    Fps,
    Json,
    MaxFrames,
    MaxVideoTokens,
    Model,
    NoIndex,
    Video,
    at_least_one,
    positive,
)
from dynfocus.text import plural

if TYPE_CHECKING:
    from dynfocus.report import QuestionTimeline
    from dynfocus.video import VideoReader


Intervals = tuple[tuple[float, float], ...]


@command(
    'dynfocus timeline clip.mp4 "What letter is on the red square?" '
    '"Which room is shown most of the time?"',
    'dynfocus timeline clip.mp4 "Who comes in?" "Who leaves?" --model my-model '
    "--evidence questions.jsonl --out doors.png",
)
def timeline(
    video: Video,
    questions: Annotated[
        list[str],
        typer.Argument(metavar="QUESTIONS...", help="Two questions, or any number."),
    ],
    excerpt: Excerpt,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="A .png file; by default NAME-timeline.png."
        ),
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(
            "--evidence",
            metavar="FILE",
            help="JSON lines with video, question and evidence, where the truth is "
            "known. FocusWorld videos have it beside them.",
        ),
    ] = None,
    model: Model = "nano",
    fps: Fps = 1.0,
    max_frames: MaxFrames = None,
    max_video_tokens: MaxVideoTokens = None,
    no_index: NoIndex = False,
    json: Json = False,
) -> None:
    """Draw the scores of a video for several questions, side by side.

    Shows which frames each question made Cones and, where it is known, marks where the
    answer is shown. No answer is given: the language model does not run.
    """
    from dynfocus.report import (
        QuestionTimeline,
        check_timelines_path,
        write_timelines,
    )
    from dynfocus.video import as_file

    questions = [clean_question(question) for question in questions]
    file = as_file(video)
    path = out if out is not None else Path(f"{file.stem}-timeline.png")
    check_timelines_path(path)
    reader = check_video(file, excerpt)
    known = known_evidence(reader, evidence)
    focused = load_model(model, index_folder=False if no_index else None)
    if len(questions) > 1 and not focused.scores_see_question:
        warn(f"the scores of {model} do not see the question: all timelines are equal")
    with progress_bar("Reading the video") as progress:
        index = focused.index(reader, fps=fps, max_frames=max_frames, progress=progress)
    timelines = [
        QuestionTimeline(
            question=question,
            frames=focused.score_frames(
                index, question, max_video_tokens=max_video_tokens
            ),
            evidence=known.get(question.strip(), ()),
        )
        for question in questions
    ]
    write_timelines(path, index, timelines)
    if json:
        print_json(
            {
                "video": str(file),
                **reader.part,
                "model": model,
                "file": str(path),
                "questions": [_document(one) for one in timelines],
            }
        )
    else:
        print(path)
    for one in timelines:
        say(f"{one.question} {one.summary()}")


def known_evidence(video: VideoReader, file: Path | None) -> dict[str, Intervals]:
    """Look up where the answer to each question about a video is shown.

    Args:
        video: The video.
        file: JSON lines with questions; by default what FocusWorld left beside a video.
    """
    if file is not None:
        from dynfocus.evaluation.experiments.redundancy import load_questions

        path = video.path
        name = str(path.resolve() if isinstance(path, Path) else path)
        asked = [row for row in load_questions(file) if row.video == name]
        if not asked:
            warn(f"{file} has no question about {video.path}")
        return {row.question: row.evidence for row in asked if row.question}
    from dynfocus.world import find_questions

    found = find_questions(video.path)
    return {one.question: one.evidence for one in found}


def _document(one: QuestionTimeline) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "question": one.question,
        "evidence": [list(interval) for interval in one.evidence],
        "frames": [asdict(frame) for frame in one.frames],
    }


@command(
    "dynfocus storyboard clip.mp4",
    "dynfocus storyboard clip.mp4 --num-prototypes 20 --out scenes.html",
    "dynfocus storyboard clip.mp4 --start 0:02 --end 0:10",
)
def storyboard(
    video: Video,
    excerpt: Excerpt,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="A .png or .html file; by default NAME-storyboard.png, here.",
        ),
    ] = None,
    num_prototypes: Annotated[
        int | None,
        typer.Option(
            "--num-prototypes",
            callback=at_least_one,
            help="How many; by default as many as stand out.",
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps",
            callback=positive,
            help="Frames looked at a second; by default 2, but 90 to 300 in all.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show what happens in a video: its event prototypes with their times.

    Needs no model and no question. Frames that look alike form one cluster; each tile is
    the densest frame of a cluster and says which stretches it stands for.
    """
    from dynfocus.report import (
        check_storyboard_path,
        make_storyboard,
        write_storyboard,
    )
    from dynfocus.video import as_file

    file = as_file(video)
    path = out if out is not None else Path(f"{file.stem}-storyboard.png")
    check_storyboard_path(path)
    reader = check_video(file, excerpt)
    with progress_bar("Reading the video") as progress:
        board = make_storyboard(
            reader, num_prototypes=num_prototypes, fps=fps, progress=progress
        )
    write_storyboard(path, board)
    if json:
        print_json({**board.to_dict(), "file": str(path)})
    else:
        print(path)
    say(
        f"{plural(len(board.tiles), 'event prototype')} from "
        f"{plural(board.num_frames, 'frame')}"
    )
