"""``dynfocus download``: a model for real videos comes onto this machine, once."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynfocus.cli.console import print_json, say
from dynfocus.cli.options import Json, examples

if TYPE_CHECKING:
    from dynfocus.defaults import Download


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=examples(
            "dynfocus download",
            "dynfocus download Qwen/Qwen2.5-VL-3B-Instruct --folder qwen --default",
        )
    )(download)


def download(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A model on the hub; by default "
            "HuggingFaceTB/SmolVLM2-500M-Video-Instruct, which runs on a laptop's CPU.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="FOLDER",
            help="Put it into this folder, not into the hub's cache.",
        ),
    ] = None,
    default: Annotated[
        bool,
        typer.Option(
            "--default",
            help="Let it answer about every video from now on; the user's settings "
            "keep this.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Fetch a model that answers about real videos, once.

    dynfocus ask and chat then use the recommended one by themselves for videos that are
    not FocusWorld. The folder that holds it goes to standard output, progress to
    standard error. What is there already is not fetched again, and an interrupted
    download goes on.
    """
    from dynfocus.defaults import RECOMMENDED, find_downloaded, save_model
    from dynfocus.defaults import download as fetch

    name = name or RECOMMENDED
    try:
        done = fetch(name, folder=folder)
    except KeyboardInterrupt:
        say("Interrupted; the same command goes on from here.")
        raise
    settings = None
    if default:
        settings = save_model(name if folder is None else str(done.folder))
    if json:
        print_json(
            {
                "model": name,
                "folder": str(done.folder),
                "is_new": done.is_new,
                "num_bytes": done.num_bytes,
                "settings": None if settings is None else str(settings),
            }
        )
    else:
        print(done.folder)
    say(f"{name} {'is here' if done.is_new else 'was already there'}: {_size(done)}")
    if settings is not None:
        say(f"It answers about every video, as {settings} says")
    elif folder is None and name == RECOMMENDED:
        say('Now ask: dynfocus ask VIDEO "What happens?"')
    else:
        model = name if find_downloaded(name) == done.folder else done.folder
        say(
            f'Now ask: dynfocus ask VIDEO "What happens?" --model {shlex.quote(str(model))}'
        )


def _size(done: Download) -> str:
    return f"{done.num_bytes / 1e6:,.0f} MB"
