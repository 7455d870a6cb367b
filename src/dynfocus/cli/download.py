"""``dynfocus download``: models for real videos come onto this machine, once."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import print_json, say
from dynfocus.cli.options import Json

if TYPE_CHECKING:
    from dynfocus.defaults import Download

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="A model on the hub; by default "
        "HuggingFaceTB/SmolVLM2-500M-Video-Instruct, which runs on a laptop's CPU, and "
        "the scorer.",
    ),
]
Scorer = Annotated[
    bool,
    typer.Option(
        "--scorer",
        help="Fetch google/siglip2-base-patch16-224 alone, which tells the frames that "
        "belong to a question.",
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="FOLDER",
        help="Put it into this folder, not into the hub's cache.",
    ),
]
Default = Annotated[
    bool,
    typer.Option(
        "--default",
        help="Let it answer about every video from now on; the user's settings keep "
        "this.",
    ),
]


@command(
    "dynfocus download",
    "dynfocus download --scorer",
    "dynfocus download Qwen/Qwen2.5-VL-3B-Instruct --folder qwen --default",
)
def download(
    name: Name = None,
    scorer: Scorer = False,
    folder: Folder = None,
    default: Default = False,
    json: Json = False,
) -> None:
    """Fetch a model that answers about real videos, and a scorer, once.

    dynfocus ask and chat then use the recommended ones by themselves for videos that are
    not FocusWorld. Without a name, at a terminal, it says the size of each and asks; else
    it fetches the model. Folders go to standard output, progress to standard error. What
    is there already is not fetched again, and an interrupted download goes on.
    """
    from dynfocus.defaults import (
        RECOMMENDED,
        RECOMMENDED_SCORER,
        find_downloaded,
        save_model,
    )
    from dynfocus.defaults import download as fetch

    if scorer and (name or default):
        raise typer.BadParameter("--scorer goes without a name and without --default")
    wanted = [RECOMMENDED_SCORER if scorer else name or RECOMMENDED]
    is_plain = not (name or scorer or folder)
    if is_plain and sys.stdin.isatty():
        wanted = [n for n in (RECOMMENDED, RECOMMENDED_SCORER) if _is_wanted(n)]
    try:
        done = [fetch(name, folder=folder) for name in wanted]
    except KeyboardInterrupt:
        say("Interrupted; the same command goes on from here.")
        raise
    settings = None
    if default and done:
        settings = save_model(done[0].name if folder is None else str(done[0].folder))
    if json:
        _print_document(done, settings)
    else:
        for found in done:
            print(found.folder)
    _say_what_is_here(done, settings)
    if is_plain and find_downloaded(RECOMMENDED_SCORER) is None:
        say("What tells the frames of a question: dynfocus download --scorer")


def _is_wanted(name: str) -> bool:
    """Ask whether a model shall be fetched, unless it is here."""
    from dynfocus.defaults import RECOMMENDED, download_bytes, find_downloaded

    if find_downloaded(name) is not None:
        return True
    answers = name == RECOMMENDED
    what = "answers about real videos" if answers else "finds the frames of a question"
    text = f"{name} {what}: {_size(download_bytes(name))}. Fetch it?"
    return typer.confirm(text, default=True, err=True)


def _say_what_is_here(done: Sequence[Download], settings: Path | None) -> None:
    from dynfocus.defaults import RECOMMENDED_SCORER

    for found in done:
        state = "is here" if found.is_new else "was already there"
        say(f"{found.name} {state}: {_size(found.num_bytes)}")
    if settings is not None:
        say(f"It answers about every video, as {settings} says")
    elif done and done[0].name != RECOMMENDED_SCORER:
        say(f'Now ask: dynfocus ask VIDEO "What happens?"{_model_option(done[0])}')


def _print_document(done: Sequence[Download], settings: Path | None) -> None:
    documents: list[dict[str, Any]] = [
        {
            "model": found.name,
            "folder": str(found.folder),
            "is_new": found.is_new,
            "num_bytes": found.num_bytes,
        }
        for found in done
    ]
    first, *others = documents or [{}]
    scorer = {"scorer": others[0]} if others else {}
    print_json({**first, "settings": settings and str(settings), **scorer})


def _model_option(done: Download) -> str:
    """Give what ``ask`` needs to find a model, nothing for the recommended one."""
    from dynfocus.defaults import RECOMMENDED, find_downloaded

    is_cached = find_downloaded(done.name) == done.folder
    if is_cached and done.name == RECOMMENDED:
        return ""
    return f" --model {shlex.quote(done.name if is_cached else str(done.folder))}"


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB"
