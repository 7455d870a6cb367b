"""``dynfocus serve``: an API that clients of OpenAI know, and a page, over one model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import choose_scorer, say, scorer_of
from dynfocus.cli.options import Model, Scorer, at_least_one, not_negative, positive
from dynfocus.cli.servers import Serving

if TYPE_CHECKING:
    from dynfocus.serving import ServerSettings

Serve = Callable[["ServerSettings", Callable[[str], None]], None]
"""Serves with these settings until it is ended; tells its address once it listens."""


@command(
    "dynfocus serve",
    "dynfocus serve --model my-model --port 9000 --folder videos",
    "dynfocus serve --backend openai --url http://localhost:8001/v1 --model my-vlm",
)
def serve(
    context: typer.Context,
    serving: Serving,
    model: Model = "nano",
    scorer: Scorer = None,
    budget: Annotated[
        int,
        typer.Option(
            "--budget",
            metavar="N",
            callback=at_least_one,
            help="With --backend openai: frames sent with a question that names no "
            "max_video_tokens.",
        ),
    ] = 16,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Interface to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            help="Port to listen on; 0 for any that is free.",
        ),
    ] = 8000,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="FOLDER",
            help="The library of videos; by default $DYNFOCUS_LIBRARY or a folder of "
            "yours.",
        ),
    ] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(
            "--root",
            metavar="FOLDER",
            help="Folder whose files may be named by file: addresses; repeat it for "
            "several.",
        ),
    ] = None,
    answer_threads: Annotated[
        int,
        typer.Option(
            "--answer-threads",
            metavar="N",
            callback=at_least_one,
            help="Questions that are answered at once.",
        ),
    ] = 1,
    index_workers: Annotated[
        int,
        typer.Option(
            "--index-workers",
            metavar="N",
            callback=not_negative,
            help="Processes that read and index videos, each with the model, beside the "
            "one that answers; 0 for threads of the server's own and one model.",
        ),
    ] = 1,
    max_waiting: Annotated[
        int,
        typer.Option(
            "--max-waiting",
            metavar="N",
            callback=at_least_one,
            help="Questions that may wait; further ones are asked to come back.",
        ),
    ] = 64,
    host_name: Annotated[
        list[str] | None,
        typer.Option(
            "--host-name",
            metavar="NAME",
            help="Name that requests may call the server by; repeat it for several.",
        ),
    ] = None,
    fetch_from: Annotated[
        list[str] | None,
        typer.Option(
            "--fetch-from",
            metavar="HOST",
            help="Host whose videos are fetched by address, *.HOST with all below, * for "
            "all of the public internet; by default all on loopback, else none.",
        ),
    ] = None,
    max_seconds: Annotated[
        float,
        typer.Option(
            "--max-video-seconds",
            metavar="SECONDS",
            callback=positive,
            help="Length of the longest video that is taken.",
        ),
    ] = 6 * 3600.0,
    max_bytes: Annotated[
        int,
        typer.Option(
            "--max-video-bytes",
            metavar="N",
            callback=at_least_one,
            help="Length of the largest file that is taken.",
        ),
    ] = 8 * 2**30,
    log_questions: Annotated[
        bool,
        typer.Option("--log-questions", help="Show in the log what is asked."),
    ] = False,
    shutdown_seconds: Annotated[
        float,
        typer.Option(
            "--shutdown-seconds",
            metavar="SECONDS",
            callback=positive,
            help="How long the server may take to end; answers that are being written "
            "go on meanwhile.",
        ),
    ] = 10.0,
) -> None:
    """Serve a model: /v1/chat/completions and its relatives, videos, and a page.

    It listens on this machine alone, needs no other server, and ends with Ctrl-C; to be
    reached from elsewhere it needs a key, in DYNFOCUS_API_KEY. With --backend openai,
    --model is the name of a model that sees at another server: frames are chosen here,
    by --scorer, which may be a DynFocus model too, and sent there.
    """
    serving.check(context, frozenset() if serving.backend else frozenset({"budget"}))
    from dynfocus.serving import ServerSettings
    from dynfocus.serving.protection import Protection, read_keys
    from dynfocus.video.decode_limits import DecodeLimits

    settings = ServerSettings(
        model=model,
        host=host,
        port=port,
        folder=folder,
        scorer=choose_scorer(scorer)
        if serving.backend == "openai"
        else scorer_of(model, scorer),
        budget=budget,
        roots=tuple(root or ()),
        answer_threads=answer_threads,
        index_workers=index_workers,
        **asdict(serving),
        max_waiting=max_waiting,
        shutdown_seconds=shutdown_seconds,
        protection=Protection(
            api_keys=read_keys(),
            host_names=tuple(host_name or ()),
            fetch_from=tuple(fetch_from or ()),
            max_upload_bytes=max_bytes,
            decoding=DecodeLimits(max_bytes=max_bytes, max_seconds=max_seconds),
            logs_questions=log_questions,
        ),
    )
    run = load_server("dynfocus serve")
    run(settings, lambda address: say(f"Serving {model} at {address}"))


def load_server(command: str) -> Serve:
    """Import what serves; a command that needs it names what is not installed.

    Args:
        command: What the user called.

    Raises:
        ImportError: A package of the extra is missing.
    """
    try:
        from dynfocus.serving.running import run
    except ImportError as error:
        raise ImportError(
            f"{command} needs {error.name}; run pip install 'dynfocus[serve]'"
        ) from error
    return run
