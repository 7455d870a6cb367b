"""``dynfocus chat``: several questions about one video, which is encoded once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from dynfocus.cli.commands import (
    Also,
    AnsweringModel,
    Excerpt,
    Loading,
    MaxNewTokens,
    Method,
    NoIndex,
    Reading,
    Video,
    Words,
    command,
)
from dynfocus.cli.console import (
    check_video,
    describe_cost,
    progress_bar,
    say,
)
from dynfocus.cli.frame_choice import REFUSED, Choosing, load_frame_answerer
from dynfocus.cli.servers import Serving, load_answerer, printed_pieces

if TYPE_CHECKING:
    from dynfocus.backends.frame_chat import FrameChat
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
    loading: Loading,
    excerpt: Excerpt,
    reading: Reading,
    serving: Serving,
    choosing: Choosing,
    words: Words,
    also: Also = None,
    model: AnsweringModel = None,
    method: Method = None,
    max_new_tokens: MaxNewTokens = 64,
    no_index: NoIndex = False,
) -> None:
    """Talk about a video: one question a line, until "exit" or the end of input.

    With --backend openai, the frames of each question are chosen for it, as in
    dynfocus ask, and earlier turns go to the server with it.
    """
    serving.check(context, REFUSED[serving.backend])
    words.settle(context, 1 + len(also or ()))
    readers = [check_video(one, excerpt) for one in (video, *(also or ()))]
    asked: dict[str, Any] = {"method": method, "max_new_tokens": max_new_tokens}
    session: ChatSession | FrameChat
    if serving.backend == "openai":
        asked["word_share"] = reading.word_share
        session = _chat_by_frames(context, model, readers, serving, choosing, asked)
    else:
        asked |= asdict(reading)
        _, focused, _ = load_answerer(
            model,
            readers,
            serving,
            loading,
            no_index=no_index,
            scorer=choosing.scorer,
            **asked,
        )
        with progress_bar("Reading the video") as progress:
            shown = readers if also else readers[0]
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
    model: str | None,
    readers: Sequence[VideoReader],
    serving: Serving,
    choosing: Choosing,
    asked: dict[str, Any],
) -> FrameChat:
    """Talk with a model that sees at a server."""
    from dynfocus.methods.loops import LOOPS

    if asked["method"] in LOOPS:
        raise typer.BadParameter(
            f"--method {asked['method']} through a server answers single questions: use "
            "dynfocus ask"
        )
    answerer, asked = load_frame_answerer(
        context, model, len(readers), serving, choosing, **asked
    )
    return answerer.chat(list(readers), **asked)


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


def _answer(session: ChatSession | FrameChat, question: str) -> bool:
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
