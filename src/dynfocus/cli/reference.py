"""The page of documentation that describes every command, written from the program.

``python -m dynfocus.cli.reference docs/cli.md`` writes it; a test compares them.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

_HEAD = """# Command line

This page is written by `python -m dynfocus.cli.reference docs/cli.md`; change the
program, not the page.

"""


def make_reference() -> str:
    """Describe every command in Markdown."""
    from dynfocus.cli.application import app

    root = get_command(app)
    sections = [_section("dynfocus", root)]
    sections += [_section(name, command) for name, command in _walk("dynfocus", root)]
    return _HEAD + "\n".join(sections)


def _walk(prefix: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        path = f"{prefix} {name}"
        yield path, command
        if getattr(command, "commands", None):
            yield from _walk(path, command)


def _section(path: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    words = [path, *(_placeholder(argument) for argument in arguments)]
    if options:
        words.append("[OPTIONS]")
    if getattr(command, "commands", None):
        words.append("COMMAND")
    lines = [f"## `{path}`", "", _prose(command.help or ""), ""]
    lines += ["```", " ".join(words), "```", ""]
    if arguments or options:
        lines += ["| | | default |", "| --- | --- | --- |"]
        lines += [_row(f"`{_placeholder(a)}`", a) for a in arguments]
        lines += [_row(_names(option), option) for option in options]
        lines.append("")
    lines += ["```console", *_commands(command.epilog or ""), "```", ""]
    return "\n".join(lines)


def _prose(text: str) -> str:
    """Write a help text without the marks of paragraphs that are not wrapped."""
    return inspect.cleandoc(text).replace("\b\n", "").replace(":\n- ", ":\n\n- ")


def _placeholder(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _names(option: Any) -> str:
    return ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _row(name: str, parameter: Any) -> str:
    default = parameter.default
    is_plain = isinstance(default, (str, int, float, Path))
    if parameter.required or not is_plain or isinstance(default, bool):
        shown = ""
    else:
        shown = f"`{getattr(default, 'value', default)}`"
    text = (parameter.help or "").replace("|", "\\|")
    return f"| {name} | {text} | {shown} |"


def _commands(epilog: str) -> list[str]:
    """Take the runnable lines out of the end of a help text."""
    lines = [line.strip() for line in epilog.splitlines()]
    return [f"$ {line}" for line in lines if line and line not in ("\b", "Examples:")]


def main(arguments: list[str] | None = None) -> None:
    """Write the reference to a file, or print it."""
    parser = argparse.ArgumentParser(description="Describe every command in Markdown.")
    parser.add_argument("file", type=Path, nargs="?", help="File; printed without it.")
    file = parser.parse_args(arguments).file
    text = make_reference()
    if file is None:
        sys.stdout.write(text)
    else:
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
