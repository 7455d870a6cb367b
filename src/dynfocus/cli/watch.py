"""``dynfocus watch``: questions about a video that is still coming."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynfocus.cli.console import load_model, say, status_line, warn
from dynfocus.cli.options import (
    DeviceMap,
    Dtype,
    Fps,
    MaxNewTokens,
    MaxVideoTokens,
    Model,
    Quantize,
    at_least_one,
    examples,
    positive,
)
from dynfocus.cli.watching import Desk, Listener, describe_session

if TYPE_CHECKING:
    from dynfocus.models import Session, VideoModel
    from dynfocus.video import LiveReader

_WAIT_SECONDS = 0.1
_STDIN = "-"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=examples(
            'dynfocus watch rtsp://camera/1 --ask "What happens?" --every 60',
            'cat live.ts | dynfocus watch - --ask "Which room is shown now?" --json',
        )
    )(watch)


def watch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help='A file, "-" for a video on standard input, a device, or an address '
            "that FFmpeg opens.",
        ),
    ],
    ask: Annotated[
        list[str] | None,
        typer.Option(
            "--ask", metavar="QUESTION", help="What to ask; may be given several times."
        ),
    ] = None,
    questions: Annotated[
        str | None,
        typer.Option(
            "--questions",
            metavar="FILE",
            help='More questions, one a line; "-" reads them from standard input and '
            "answers each when it comes.",
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(
            "--every",
            metavar="SECONDS",
            callback=positive,
            help="Ask after so many seconds of video, again and again; by default once, "
            "at the end.",
        ),
    ] = None,
    model: Model = "nano",
    dtype: Dtype = None,
    quantize: Quantize = None,
    device_map: DeviceMap = None,
    fps: Fps = 1.0,
    max_frames: Annotated[
        int,
        typer.Option(
            "--max-frames",
            callback=at_least_one,
            help="Hold at most so many frames; then every second of them, and so on.",
        ),
    ] = 1024,
    max_video_tokens: MaxVideoTokens = None,
    max_new_tokens: MaxNewTokens = 64,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document a line and answer.")
    ] = False,
    input_format: Annotated[
        str | None,
        typer.Option(
            "--input-format",
            metavar="NAME",
            help="FFmpeg's name of the format, where the data do not tell.",
        ),
    ] = None,
    input_option: Annotated[
        list[str] | None,
        typer.Option(
            "--input-option",
            metavar="NAME=VALUE",
            help="An option of FFmpeg for opening; may be given several times.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            callback=positive,
            help="Give up when nothing comes for so long; by default never.",
        ),
    ] = None,
) -> None:
    """Watch a video while it comes, and answer questions about what was seen.

    Without --ask and --questions, questions are typed on the terminal, one a line; an
    empty line shows what is held. An answer is a line: seconds seen, question, answer.
    """
    from dynfocus.video import LiveReader

    fixed = _fixed_questions(ask or (), questions)
    listens = questions == _STDIN or not fixed
    _check_call(source, fixed, questions, every)
    options = _input_options(input_option or ())
    if source != _STDIN:
        LiveReader(source)  # fails on a file that is not there before a model is loaded
    focused = load_model(
        model,
        dtype=dtype,
        quantize=quantize,
        device_map=device_map,
        index_folder=False,
        needs="session",
    )
    _warn_if_meaningless(focused, source)
    session = focused.session(
        max_frames=max_frames, fps=fps, max_video_tokens=max_video_tokens
    )
    side = focused.processor.frame_size
    reader = LiveReader(
        source,
        fps=fps,
        size=(side, side),
        input_format=input_format,
        options=options,
        timeout_seconds=timeout,
    )
    desk = Desk(session, fixed, every, max_new_tokens, is_json=json)
    typed = Listener(questions == _STDIN) if listens else None
    try:
        _follow(reader, session, desk, typed)
        desk.close(typed)
    finally:
        if session.num_pushed:
            say(f"Seen: {describe_session(session)}.")
    if desk.num_failed:
        raise typer.Exit(1)


def _follow(
    reader: LiveReader, session: Session, desk: Desk, typed: Listener | None
) -> None:
    """Push frames as they come and answer what is due, until the video ends."""
    with reader, status_line(typed is None) as show:
        while not reader.is_over:
            part = reader.read(_WAIT_SECONDS)
            if part is not None:
                session.push(part.frames, part.times)
                show(describe_session(session))
                desk.ask_due()
            if typed is not None and session.num_pushed:
                for question in typed.arrived():
                    desk.ask(question)


def _fixed_questions(given: Sequence[str], file: str | None) -> list[str]:
    lines = list(given)
    if file is not None and file != _STDIN:
        lines += Path(file).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _check_call(
    source: str, fixed: Sequence[str], questions: str | None, every: float | None
) -> None:
    """Refuse a call that asks nothing, or two things of standard input."""
    if source == _STDIN and questions == _STDIN:
        raise typer.BadParameter(
            "the video and the questions cannot both come on standard input"
        )
    if (
        not fixed
        and questions != _STDIN
        and (source == _STDIN or not sys.stdin.isatty())
    ):
        raise typer.BadParameter(
            "nothing is asked: give --ask or --questions, or type on a terminal"
        )
    if every is not None and not fixed:
        raise typer.BadParameter("--every needs questions from --ask or a file")


def _input_options(words: Sequence[str]) -> dict[str, str]:
    wrong = [word for word in words if "=" not in word.strip("=")]
    if wrong:
        raise typer.BadParameter(f"{wrong[0]!r} is not of the form NAME=VALUE")
    return dict(word.split("=", 1) for word in words)


def _warn_if_meaningless(focused: VideoModel, source: str) -> None:
    from dynfocus.world import is_world_video

    path = Path(source)
    if focused.is_nano and not (path.is_file() and is_world_video(path)):
        warn(
            "the shipped nano model only knows FocusWorld videos, and nothing tells "
            "that this is one; name a model that knows the real world with --model"
        )
