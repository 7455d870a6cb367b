"""``dynfocus serve``: an API that clients of OpenAI know, and a page, over one model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynfocus.cli.commands import Model, at_least_one, command, positive
from dynfocus.cli.console import say


@command(
    "dynfocus serve",
    "dynfocus serve --model my-model --port 9000 --folder videos",
)
def serve(
    model: Model = "nano",
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
    max_waiting: Annotated[
        int,
        typer.Option(
            "--max-waiting",
            metavar="N",
            callback=at_least_one,
            help="Questions that may wait; further ones are asked to come back.",
        ),
    ] = 64,
    shutdown_seconds: Annotated[
        float,
        typer.Option(
            "--shutdown-seconds",
            metavar="SECONDS",
            callback=positive,
            help="How long questions in hand may take to finish at the end.",
        ),
    ] = 10.0,
) -> None:
    """Serve a model: /v1/chat/completions and its relatives, videos, and a page.

    It listens on this machine alone, needs no other server, and ends with Ctrl-C.
    """
    from dynfocus.serving import ServerSettings

    settings = ServerSettings(
        model=model,
        host=host,
        port=port,
        folder=folder,
        max_waiting=max_waiting,
        shutdown_seconds=shutdown_seconds,
    )
    try:
        from dynfocus.serving.running import run
    except ImportError as error:
        raise ImportError(
            f"dynfocus serve needs {error.name}; run pip install 'dynfocus[serve]'"
        ) from error
    run(settings, lambda address: say(f"Serving {model} at {address}"))
