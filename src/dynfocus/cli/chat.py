"""``dynfocus chat``: several questions about one video, which is encoded once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from dynfocus.cli.ask import check_video, describe_cost, warn_if_meaningless
from dynfocus.cli.console import load_model, name_model, progress_bar, say
from dynfocus.cli.options import (
    AnsweringModel,
    DeviceMap,
    Dtype,
    Fps,
    MaxFrames,
    MaxNewTokens,
    MaxVideoTokens,
    NoIndex,
    Quantize,
    Scorer,
    Video,
    examples,
)
from dynfocus.cli.servers import (
    ApiKeyEnv,
    Backend,
    BackendName,
    ServedModel,
    Timeout,
    Url,
    ask_aloud,
    check_combination,
    connect,
    served,
)

if TYPE_CHECKING:
    from dynfocus.models import ChatSession


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=examples(
            "dynfocus chat clip.mp4",
            "dynfocus chat clip.mp4 < questions.txt",
            "dynfocus chat clip.mp4 --model my-model --backend vllm "
            "--url http://localhost:8000",
        )
    )(chat)


def chat(
    context: typer.Context,
    video: Video,
    model: AnsweringModel = None,
    dtype: Dtype = None,
    quantize: Quantize = None,
    device_map: DeviceMap = None,
    fps: Fps = 1.0,
    max_frames: MaxFrames = None,
    max_video_tokens: MaxVideoTokens = None,
    scorer: Scorer = None,
    max_new_tokens: MaxNewTokens = 64,
    backend: BackendName = None,
    url: Url = None,
    api_key_env: ApiKeyEnv = None,
    timeout: Timeout = 120.0,
    served_model: ServedModel = None,
    no_index: NoIndex = False,
) -> None:
    """Talk about a video: one question a line, until "exit" or the end of input."""
    check_combination(context, backend, refused=frozenset())
    if backend is Backend.openai:
        raise typer.BadParameter(
            "--backend openai answers single questions: use dynfocus ask"
        )
    reader = check_video(video)
    connection = None
    if backend is not None:
        connection = connect(url, api_key_env, timeout, served_model)
    _, source = name_model(model, reader, only_own=backend is Backend.vllm)
    focused = load_model(
        source,
        dtype=dtype,
        quantize=quantize,
        device_map=device_map,
        index_folder=False if no_index else None,
        scorer=scorer,
    )
    warn_if_meaningless(focused, reader)
    if connection is not None:
        focused = served(focused, connection)
    with progress_bar("Reading the video") as progress:
        session = focused.chat(
            reader,
            fps=fps,
            max_frames=max_frames,
            max_video_tokens=max_video_tokens,
            progress=progress,
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
