"""Options of the commands that answer through a server, and their checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dynfocus.cli.options import positive

if TYPE_CHECKING:
    from dynfocus.backends import ChatClient, Server


Backend = Literal["vllm", "openai"]
"""What a server is sent: video tokens or frames."""

BackendName = Annotated[
    Backend | None,
    typer.Option(
        "--backend",
        help="Let a server write the answer: vllm runs the language model of --model and "
        "gets its video tokens, openai gets chosen frames. By default the model answers "
        "here.",
    ),
]
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The server, with --backend."),
]
ApiKeyEnv = Annotated[
    str | None,
    typer.Option(
        "--api-key-env",
        metavar="NAME",
        help="Environment variable with the server's key; by default OPENAI_API_KEY, "
        "if it is set.",
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        callback=positive,
        help="How long the server may be silent.",
    ),
]
ServedModel = Annotated[
    str | None,
    typer.Option(
        "--served-model",
        metavar="NAME",
        help="Name of the model at the server, where it serves several.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Serving:
    """The server that writes the answer, if one does."""

    backend: BackendName = None
    url: Url = None
    api_key_env: ApiKeyEnv = None
    timeout: Timeout = 120.0
    served_model: ServedModel = None

    def check(self, context: typer.Context, refused: frozenset[str]) -> None:
        """Refuse options that do not go with the backend, and a backend without a URL.

        Args:
            context: The call.
            refused: Options of the command that mean nothing to the backend.
        """
        given = given_options(context)
        if self.backend is None:
            refused |= {one.name for one in fields(self)} - {"backend"}
        wrong = [option for name, option in given.items() if name in refused]
        if wrong:
            where = f"with --backend {self.backend}"
            if self.backend is None:
                where = "without --backend"
            raise typer.BadParameter(f"{wrong[0]} means nothing {where}: leave it out")
        if self.backend is not None and not self.url:
            raise typer.BadParameter(
                f"--backend {self.backend} needs --url, such as http://localhost:8000/v1"
            )

    def connect(self, model: str | None = None) -> Connection | None:
        """Reach the server; None where there is none.

        Args:
            model: Name of a model on it; by default --served-model, or its only one.
        """
        if self.backend is None:
            return None
        from dynfocus.backends import ChatClient, Server, find_served_model

        try:
            server = Server(
                url=self.url or "",
                api_key_variable=self.api_key_env,
                timeout_seconds=self.timeout,
            )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        client = ChatClient(server)
        name = model or self.served_model or find_served_model(client)
        return Connection(client=client, served_model=name)


def given_options(context: typer.Context) -> dict[str, str]:
    """List the options that stand in the call, by their names in the program."""
    return {
        parameter.name: parameter.opts[0]
        for parameter in context.command.params
        if parameter.name is not None
        and parameter.param_type_name == "option"
        and getattr(context.get_parameter_source(parameter.name), "name", "")
        == "COMMANDLINE"
    }


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A server and the name of a model on it."""

    client: ChatClient
    served_model: str

    @property
    def server(self) -> Server:
        """Give the server."""
        return self.client.server


@contextmanager
def printed_pieces() -> Iterator[Callable[[str], None]]:
    """Give what prints the pieces of an answer, on a line that always ends."""
    is_begun = False

    def show(piece: str) -> None:
        nonlocal is_begun
        if not is_begun:
            piece = piece.lstrip()
        is_begun = is_begun or bool(piece)
        print(piece, end="", flush=True)

    try:
        yield show
    except BaseException:
        if is_begun:
            print(flush=True)
        raise
    print(flush=True)
