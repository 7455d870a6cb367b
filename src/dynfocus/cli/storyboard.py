"""``dynfocus storyboard``: the event prototypes of any video as a contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import plural, print_json, progress_bar, say
from dynfocus.cli.options import Json, Video, at_least_one, positive


@command(
    "dynfocus storyboard clip.mp4",
    "dynfocus storyboard clip.mp4 --num-prototypes 20 --out scenes.html",
)
def storyboard(
    video: Video,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="A .png or .html file; by default NAME-storyboard.png, here.",
        ),
    ] = None,
    num_prototypes: Annotated[
        int | None,
        typer.Option(
            "--num-prototypes",
            callback=at_least_one,
            help="How many; by default as many as stand out.",
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps",
            callback=positive,
            help="Frames looked at a second; by default 2, but 90 to 300 in all.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show what happens in a video: its event prototypes with their times.

    Needs no model and no question. Frames that look alike form one cluster; each tile is
    the densest frame of a cluster and says which stretches it stands for.
    """
    from dynfocus.report import (
        check_storyboard_path,
        make_storyboard,
        write_storyboard,
    )

    path = out if out is not None else Path(f"{video.stem}-storyboard.png")
    check_storyboard_path(path)
    with progress_bar("Reading the video") as progress:
        board = make_storyboard(
            video, num_prototypes=num_prototypes, fps=fps, progress=progress
        )
    write_storyboard(path, board)
    if json:
        print_json({**board.to_dict(), "file": str(path)})
    else:
        print(path)
    say(
        f"{plural(len(board.tiles), 'event prototype')} from "
        f"{plural(board.num_frames, 'frame')}"
    )
