"""``dynfocus chat``: several questions about one video, which is encoded once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from dynfocus.cli.answering import Answering
from dynfocus.cli.commands import command
from dynfocus.cli.console import describe_cost, progress_bar, say
from dynfocus.cli.options import Video
from dynfocus.cli.servers import printed_pieces

if TYPE_CHECKING:
    from dynfocus.models import ChatSession
    from dynfocus.video import VideoReader


@command(
    "dynfocus chat clip.mp4",
    "dynfocus chat clip.mp4 < questions.txt",
    "dynfocus chat clip.mp4 --start 0:02",
    "dynfocus chat clip.mp4 --model my-model --backend vllm "
    "--url http://localhost:8000",
    "dynfocus chat clip.mp4 --backend openai --url https://api.openai.com/v1 "
    "--model gpt-4o --budget 32",
)
def chat(
    context: typer.Context,
    video: Video,
    answering: Answering,
) -> None:
    """Talk about a video: one question a line, until "exit" or the end of input.

    With --backend openai, the frames of each question are chosen for it, as in
    dynfocus ask, and earlier turns go to the server with it.
    """
    readers = answering.open(context, video)
    asked: dict[str, Any] = {
        "method": answering.method,
        "max_new_tokens": answering.max_new_tokens,
    }
    if answering.is_by_frames:
        session = _chat_by_frames(context, readers, answering, asked)
    else:
        asked |= asdict(answering.reading)
        _, focused, _ = answering.load(readers, asked)
        with progress_bar("Reading the video") as progress:
            shown = readers if len(readers) > 1 else readers[0]
            session = focused.chat(shown, progress=progress, **asked)
        if focused.is_nano:
            from dynfocus.defaults import NANO_QUESTIONS

            say(
                "Nano was taught these questions, with other things in their places:"
                + "".join(f"\n  {one}" for one in NANO_QUESTIONS)
            )
    if sum(not _answer(session, question) for question in _questions()):
        raise typer.Exit(1)


def _chat_by_frames(
    context: typer.Context,
    readers: list[VideoReader],
    answering: Answering,
    asked: dict[str, Any],
) -> ChatSession:
    """Talk with a model that sees at a server."""
    from dynfocus.methods.loops import LOOPS

    if answering.method in LOOPS:
        raise typer.BadParameter(
            f"--method {answering.method} through a server answers single questions: use "
            "dynfocus ask"
        )
    asked["word_share"] = answering.reading.word_share
    answerer = answering.load_by_frames(context, len(readers), asked)
    return answerer.chat(readers, **asked)


def _questions() -> Iterator[str]:
    """Yield what the user asks; a prompt is shown on a terminal only."""
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        say('Ask about the video, one question a line; "exit" ends.')
        import readline  # noqa: F401 gives input() its line editing
    while True:
        if is_terminal:
            print("> ", end="", file=sys.stderr, flush=True)
        try:
            line = input().strip()
        except EOFError:
            return
        if line.casefold() == "exit":
            return
        if line:
            yield line


def _answer(session: ChatSession, question: str) -> bool:
    """Answer one question while it is generated; report a user error and go on."""
    from dynfocus.backends import BackendError

    try:
        with printed_pieces() as show:
            answer = session.ask(question, on_text=show)
    except (ValueError, BackendError) as error:
        say(f"dynfocus: {' '.join(str(error).split())}")
        return False
    say(describe_cost(answer))
    return True
