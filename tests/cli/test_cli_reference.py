from __future__ import annotations

import shlex
from pathlib import Path

from typer.main import get_command

from dynfocus.cli.application import app
from dynfocus.cli.reference import main as write_reference
from dynfocus.cli.reference import make_reference

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_what_the_program_says():
    assert PAGE.read_text(encoding="utf-8") == make_reference(), (
        "run: python -m dynfocus.cli.reference docs/cli.md"
    )


def test_every_example_can_be_called():
    lines = [line for line in make_reference().splitlines() if line.startswith("$ ")]
    assert len(lines) > 50
    for line in lines:
        words = shlex.split(line[line.index("dynfocus ") :])[1:]
        if "<" in words:
            words = words[: words.index("<")]
        parse(words)


def parse(words: list[str]) -> None:
    command, name = get_command(app), "dynfocus"
    while commands := getattr(command, "commands", None):
        command, name, words = commands[words[0]], words[0], words[1:]
    command.make_context(name, words).close()


def test_the_page_goes_to_the_file_that_is_named(tmp_path, capsys):
    write_reference([str(tmp_path / "cli.md")])
    assert (tmp_path / "cli.md").read_text(encoding="utf-8") == make_reference()
    write_reference([])
    assert capsys.readouterr().out == make_reference()
