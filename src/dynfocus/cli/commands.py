"""Commands: a function, its examples, and its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

import typer
from typer.core import TyperGroup


@dataclass(frozen=True)
class Command:
    """A command of the program."""

    run: Callable[..., None]
    """What it does; its parameters are the command's arguments and options."""
    examples: tuple[str, ...]
    """Calls that a user can run as they stand."""
    name: str | None = None
    """What it is called; by default what the function is called."""
    ending: str = ""
    """What its help says after what the function's docstring says."""

    def add_to(self, app: typer.Typer) -> None:
        """Add the command to the program or to a group of it."""
        help_text = f"{inspect.getdoc(self.run)}{self.ending}"
        app.command(self.name, help=help_text, epilog=epilog(*self.examples))(
            _spread(self.run)
        )


def command(
    *examples: str, name: str | None = None, ending: str = ""
) -> Callable[[Callable[..., None]], Command]:
    """Make a function a command.

    A parameter whose type is a dataclass stands for its fields, each an option.

    Args:
        *examples: Calls that a user can run as they stand.
        name: What it is called; by default what the function is called.
        ending: What its help says after what the function's docstring says.
    """
    return lambda run: Command(run, examples, name, ending)


def add_group(
    app: typer.Typer,
    name: str,
    text: str,
    commands: tuple[Command, ...],
    cls: type[TyperGroup] = TyperGroup,
) -> None:
    """Add a group of commands to the program.

    Args:
        app: The program.
        name: What the group is called.
        text: Its help; the examples are the first of each of its commands.
        commands: Its commands, in the order of the help.
        cls: What finds its commands.
    """
    first = [one.examples[0] for one in commands]
    group = typer.Typer(
        cls=cls,
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
    groups = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    if not groups:
        return run
    parameters: list[inspect.Parameter] = []
    for one in inspect.signature(run).parameters.values():
        found = _options_of(groups[one.name]) if one.name in groups else ()
        parameters += found or [one.replace(annotation=hints[one.name])]

    def call(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = _gather(kind, given)
        run(**given)

    call.__name__, call.__doc__ = run.__name__, run.__doc__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def _options_of(group: Any) -> list[inspect.Parameter]:
    """List the fields of a dataclass as parameters, those of its groups in their place."""
    found: list[inspect.Parameter] = []
    hints = get_type_hints(group, include_extras=True)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    for one in fields(group):
        hint, default = hints[one.name], one.default
        if is_dataclass(hint):
            found += _options_of(hint)
        else:
            found.append(
                inspect.Parameter(one.name, kind, default=default, annotation=hint)
            )
    return found


def _gather(group: Any, given: dict[str, Any]) -> Any:
    """Make a dataclass, and its groups, of what is given; that is taken away."""
    hints = get_type_hints(group)
    own = {
        one.name: _gather(hints[one.name], given)
        if is_dataclass(hints[one.name])
        else given.pop(one.name)
        for one in fields(group)
    }
    return group(**own)
