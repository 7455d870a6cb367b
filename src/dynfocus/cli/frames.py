"""``dynfocus frames``: the frames that a question needs, as times, files or a request."""

from __future__ import annotations

import json as json_format
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import (
    check_video,
    print_json,
    progress_bar,
    read_question,
    say,
)
from dynfocus.cli.frame_choice import Choosing, Looking, load_frame_scorer, note_scorer
from dynfocus.cli.options import Excerpt, Json, MaxNewTokens, Question, Video, Words
from dynfocus.text import plural

if TYPE_CHECKING:
    from dynfocus.backends import FrameRequest
    from dynfocus.methods import FrameSelection
    from dynfocus.video import VideoReader


@command(
    'dynfocus frames clip.mp4 "Who comes in?" --budget 16 --out chosen',
    'dynfocus frames film.mkv "Where do they land?" --budget 8 --fast --json',
    'dynfocus frames clip.mp4 "Who comes in?" --budget 4 --start 2.5 --end 0:10',
    'dynfocus frames clip.mp4 "Who comes in?" --budget 32 '
    "--scorer openai/clip-vit-base-patch32 --served-model my-model "
    "--request request.json",
)
def frames(
    context: typer.Context,
    video: Video,
    question: Question,
    excerpt: Excerpt,
    choosing: Choosing,
    looking: Looking,
    words: Words,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help='The same as --scorer with a DynFocus model: "nano", a folder, a name '
            "on the hub.",
        ),
    ] = None,
    json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Write the frames as JPEG files named by their times into a new or "
            "empty folder.",
        ),
    ] = None,
    request: Annotated[
        str | None,
        typer.Option(
            "--request",
            metavar="FILE",
            help='Write the body of a request for /v1/chat/completions; "-" prints it.',
        ),
    ] = None,
    served_model: Annotated[
        str | None,
        typer.Option(
            "--served-model",
            metavar="NAME",
            help="The model that the request is for, as the server calls it.",
        ),
    ] = None,
    max_new_tokens: MaxNewTokens = 512,
) -> None:
    """Choose the frames of a video that a question needs, within a budget.

    Needs no model: without a scorer or --model the frames show what happens, whatever
    the question is. Prints a line a frame: its time in seconds, and whether it is a Cone
    or a Rod.
    """
    _check_call(choosing, model, request, served_model, json=json)
    words.settle(context)
    if model is not None:
        choosing = replace(choosing, scorer=model)
    question = read_question(question)
    _check_places(video, out, request)
    chosen = _choose(check_video(video, excerpt), question, choosing, looking)
    document = chosen.to_dict()
    if out is not None:
        document["files"] = _write_files(out, chosen, looking)
    if request is not None and served_model is not None:
        made = _make_request(chosen, choosing, looking, served_model, max_new_tokens)
        _write_body(request, made)
    if json:
        print_json(document)
    elif request != "-":
        for frame in chosen.frames:
            print(f"{frame.time:.3f}\t{frame.kind}")


def _check_call(
    choosing: Choosing,
    model: str | None,
    request: str | None,
    served_model: str | None,
    *,
    json: bool,
) -> None:
    """Refuse options that do not go together."""
    if choosing.scorer is not None and model is not None:
        raise typer.BadParameter("--scorer and --model say the same: leave one out")
    if (request is None) != (served_model is None):
        raise typer.BadParameter("--request and --served-model go together")
    if choosing.layout == "file":
        raise typer.BadParameter(
            "--layout file means nothing here: the server chooses the frames"
        )
    if request == "-" and json:
        raise typer.BadParameter("--json and --request - both want standard output")


def _check_places(video: str, out: Path | None, request: str | None) -> None:
    """Fail before the work on what cannot be written after it."""
    if out is not None and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
        raise ValueError(f"{out} is there and not empty; choose another folder")
    if request not in (None, "-"):
        from dynfocus.atomic import check_writable

        check_writable(str(request), what="the request", read=video)


def _choose(
    video: VideoReader, question: str, choosing: Choosing, looking: Looking
) -> FrameSelection:
    """Choose the frames, with a progress bar."""
    from dynfocus.methods import find_selector, select_frames

    scorer = load_frame_scorer(choosing.scorer)
    has_scorer = scorer is not None
    try:
        find_selector(looking.rule, "rule", has_scorer=has_scorer, rest="dropped")
    except ValueError as error:
        raise typer.BadParameter(f"--{error}") from error
    with progress_bar("Reading the video") as progress:
        chosen = select_frames(
            video,
            question,
            choosing.budget,
            scorer=scorer,
            rule=looking.rule,
            num_cones=choosing.cones,
            fps=looking.fps,
            fast=looking.fast,
            progress=progress,
        )
    note_scorer(scorer)
    return chosen


def _make_request(
    chosen: FrameSelection,
    choosing: Choosing,
    looking: Looking,
    model: str,
    max_new_tokens: int,
) -> FrameRequest:
    """Write the request about chosen frames, and say in one line what it costs."""
    from dynfocus.backends import FrameSizes, frame_request

    assert choosing.layout != "file"  # which sends no frames
    sizes = FrameSizes(cone_pixels=looking.cone_pixels, rod_pixels=looking.rod_pixels)
    made = frame_request(
        chosen,
        model,
        layout=choosing.layout,
        sizes=sizes,
        max_new_tokens=max_new_tokens,
        word_share=looking.word_share,
    )
    words = f", {made.word_tokens:,} tokens of words" if made.word_tokens else ""
    say(
        f"{plural(made.num_pictures, 'picture')} of "
        f"{made.num_pixels / 1e6:.1f} megapixels together{words}"
    )
    return made


def _write_files(out: Path, chosen: FrameSelection, looking: Looking) -> list[str]:
    """Write the frames as files whose names sort by time."""
    from dynfocus.atomic import atomic_folder
    from dynfocus.report import encode_jpeg

    numbers = {frame.time: n for n, frame in enumerate(chosen.frames, 1)}
    names = []
    sizes = {"cone": looking.cone_pixels, "rod": looking.rod_pixels}
    with atomic_folder(out) as folder:
        for kind, pixels in sizes.items():
            for time, picture in chosen.pictures(pixels, kind):
                minutes, seconds = divmod(time, 60)
                number = numbers[time]
                name = f"{number:04d}-{int(minutes):03d}m{seconds:06.3f}s-{kind}.jpg"
                (folder / name).write_bytes(encode_jpeg(picture))
                names.append(name)
    return sorted(names)


def _write_body(request: str, made: FrameRequest) -> None:
    text = json_format.dumps(made.body, ensure_ascii=False)
    if request == "-":
        print(text)
        return
    from dynfocus.atomic import write_atomically

    write_atomically(Path(request), f"{text}\n")
