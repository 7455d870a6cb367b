"""``dynfocus mcp``: tools that let an agent look at videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import say
from dynfocus.cli.options import at_least_one

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@command(
    "dynfocus mcp ~/Videos",
    "dynfocus mcp ~/Videos /srv/talks --model nano --http --port 8765",
)
def mcp(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...",
            help="Folders whose videos may be read, with all folders below. Links that "
            "lead out of them are refused.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="What answers: nano, a folder, or a name on the hub; by default as for "
            "dynfocus ask. The other tools need none.",
            show_default=False,
        ),
    ] = None,
    scorer: Annotated[
        str | None,
        typer.Option(
            "--scorer",
            metavar="NAME",
            help="What rates frames for a question: CLIP, SigLIP and their like, a folder "
            "or a name on the hub; by default the one that dynfocus download --scorer "
            "fetched, with none nothing.",
        ),
    ] = None,
    web: Annotated[
        bool,
        typer.Option(
            "--web", help="Also read videos at public addresses of http and https."
        ),
    ] = False,
    http: Annotated[
        bool,
        typer.Option(
            "--http",
            help="Serve streamable HTTP at /mcp, on this machine alone, in place of "
            "standard input and output.",
        ),
    ] = False,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen, with --http.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", min=1, max=65535, help="The port, with --http."),
    ] = 8765,
    max_characters: Annotated[
        int,
        typer.Option(
            "--max-characters", min=500, help="Most characters of text in an answer."
        ),
    ] = 20_000,
    max_picture_bytes: Annotated[
        int,
        typer.Option(
            "--max-picture-bytes",
            callback=at_least_one,
            help="Most bytes of all pictures in an answer, as they are sent.",
        ),
    ] = 700_000,
) -> None:
    """Serve tools of the Model Context Protocol that look at videos, for agents.

    The tools are probe, storyboard, find_frames, find_words, when and ask; all but ask work without
    a model. Talks over standard input and output until they are closed. Needs the
    package mcp: pip install 'dynfocus[agents]'. See docs/agents.md for how clients are
    told of it.
    """
    if host not in _LOOPBACK:
        raise typer.BadParameter(
            f"--host must be one of {', '.join(_LOOPBACK)}, got {host!r}: there is no key "
            "that could tell who asks"
        )
    from dynfocus.serving.agent_settings import AgentSettings

    settings = AgentSettings(
        folders=tuple(folder.expanduser() for folder in folders),
        allows_web=web,
        model=model,
        scorer=scorer,
        max_characters=max_characters,
        max_picture_bytes=max_picture_bytes,
    )
    try:
        from dynfocus.serving.agents import create_agent_server
    except ModuleNotFoundError as error:
        if error.name not in ("mcp", "mcp_types"):
            raise
        raise ImportError(
            "the package mcp is not installed; install it with: pip install "
            "'dynfocus[agents]'"
        ) from error
    server = create_agent_server(settings)
    if not http:
        server.run("stdio")
        return
    say(f"Listening at http://{host}:{port}/mcp")
    server.run("streamable-http", host=host, port=port)
