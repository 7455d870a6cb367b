"""``dynfocus chat``: several questions about one video, which is encoded once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

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
    Scorer,
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
from dynfocus.cli.servers import (
    Serving,
    ask_aloud,
    load_answerer,
)

if TYPE_CHECKING:
    from dynfocus.models import ChatSession


@command(
    "dynfocus chat clip.mp4",
    "dynfocus chat clip.mp4 < questions.txt",
    "dynfocus chat clip.mp4 --start 0:02",
    "dynfocus chat clip.mp4 --model my-model --backend vllm "
    "--url http://localhost:8000",
)
def chat(
    context: typer.Context,
    video: Video,
    loading: Loading,
    excerpt: Excerpt,
    reading: Reading,
    serving: Serving,
    words: Words,
    also: Also = None,
    model: AnsweringModel = None,
    scorer: Scorer = None,
    method: Method = None,
    max_new_tokens: MaxNewTokens = 64,
    no_index: NoIndex = False,
) -> None:
    """Talk about a video: one question a line, until "exit" or the end of input."""
    serving.check(context, frozenset())
    words.settle(context, 1 + len(also or ()))
    if serving.backend == "openai":
        raise typer.BadParameter(
            "--backend openai answers single questions: use dynfocus ask"
        )
    readers = [check_video(one, excerpt) for one in (video, *(also or ()))]
    _, focused, _ = load_answerer(
        model,
        readers,
        serving,
        loading,
        no_index=no_index,
        scorer=scorer,
        method=method,
        **asdict(reading),
    )
    with progress_bar("Reading the video") as progress:
        session = focused.chat(
            readers if also else readers[0],
            **asdict(reading),
            method=method,
            progress=progress,
        )
    if focused.is_nano:
        from dynfocus.defaults import NANO_QUESTIONS

        say(
            "Nano was taught these questions, with other things in their places:"
            + "".join(f"\n  {one}" for one in NANO_QUESTIONS)
        )
    failures = sum(
        not _answer(session, question, max_new_tokens) for question in _questions()
    )
    if failures:
        raise typer.Exit(1)


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


def _answer(session: ChatSession, question: str, max_new_tokens: int) -> bool:
    """Answer one question while it is generated; report a user error and go on."""
    from dynfocus.backends import BackendError

    try:
        answer = ask_aloud(session, question, max_new_tokens, is_silent=False)
    except (ValueError, BackendError) as error:
        say(f"dynfocus: {' '.join(str(error).split())}")
        return False
    say(describe_cost(answer))
    return True
