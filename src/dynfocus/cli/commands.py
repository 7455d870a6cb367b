"""Commands: a function, its examples, and its options, some of them in groups."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

import typer


@dataclass(frozen=True)
class Command:
    """A command of the program."""

    run: Callable[..., None]
    """What it does; its parameters are the command's arguments and options."""
    examples: tuple[str, ...]
    """Calls that a user can run as they stand."""
    name: str | None = None
    """What it is called; by default what the function is called."""

    def add_to(self, app: typer.Typer) -> None:
        """Add the command to the program or to a group of it."""
        app.command(self.name, epilog=epilog(*self.examples))(_spread(self.run))


def command(
    *examples: str, name: str | None = None
) -> Callable[[Callable[..., None]], Command]:
    """Make a function a command.

    A parameter whose type is a dataclass stands for its fields, each an option.

    Args:
        *examples: Calls that a user can run as they stand.
        name: What it is called; by default what the function is called.
    """
    return lambda run: Command(run, examples, name)


def add_group(
    app: typer.Typer, name: str, text: str, commands: tuple[Command, ...]
) -> None:
    """Add a group of commands to the program.

    Args:
        app: The program.
        name: What the group is called.
        text: Its help; the examples are the first of each of its commands.
        commands: Its commands, in the order of the help.
    """
    first = [one.examples[0] for one in commands]
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help=text,
        epilog=epilog(*(first if len(first) > 1 else commands[0].examples)),
    )
    group.callback(help=text)(lambda: None)
    for one in commands:
        one.add_to(group)
    app.add_typer(group, name=name)


def epilog(*examples: str) -> str:
    """Write the end of a help text."""
    lines = "".join(f"\n  {example}" for example in examples)
    return f"\b\nExamples:{lines}"


def _spread(run: Callable[..., None]) -> Callable[..., None]:
    """Give a function whose parameters are the fields of those that are dataclasses."""
    hints = get_type_hints(run, include_extras=True)
    groups: dict[str, Any] = {
        name: kind for name, kind in hints.items() if is_dataclass(kind)
    }
    if not groups:
        return run
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(run).parameters.values():
        kind = groups.get(parameter.name)
        if kind is None:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))
            continue
        own = get_type_hints(kind, include_extras=True)
        parameters += [
            inspect.Parameter(
                one.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=one.default,
                annotation=own[one.name],
            )
            for one in fields(kind)
        ]

    def call(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(
                **{one.name: given.pop(one.name) for one in fields(kind)}
            )
        run(**given)

    call.__name__, call.__doc__ = run.__name__, run.__doc__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call
