"""What the README shows works as it stands."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from dynfocus.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return text


def test_the_lines_of_python_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python"), "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r".+ for \d+ video tokens of 60 frames", lines[0])
    assert len(lines) == 1


def test_the_commands_print_what_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shown = re.findall(r"^\$ dynfocus (.*)\n(.*)$", block("console"), re.MULTILINE)
    assert len(shown) == 3
    for command, expected in shown:
        assert main(shlex.split(command)) == 0, command
        assert capsys.readouterr().out == f"{expected}\n", command


@pytest.mark.parametrize(
    ("length", "name"),
    [
        ("1-3 minutes, 40 videos", "focusworld-60-180s"),
        ("8-10 minutes, 20 videos", "focusworld-480-600s"),
    ],
)
def test_the_figures_are_those_of_the_results(length, name):
    rows = json.loads((ROOT / f"docs/results/{name}.json").read_text())["rows"]
    (shown,) = re.findall(rf"^\| nano, {length} \| (.*) \|$", README, re.MULTILINE)
    kinds = ("needle", "attribute", "presence pairs", "count", "order", "when")
    for kind, cell in zip(kinds, shown.split(" | "), strict=True):
        measured = rows[kind]["accuracy"]
        numbers = [measured["value"], measured["low"], measured["high"]]
        assert re.findall(r"\d+", cell) == [f"{number:.0f}" for number in numbers], kind


def test_the_map_stands_on_the_first_screen():
    assert "| `src/dynfocus/focus/`" in "\n".join(README.splitlines()[:60])


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)", README)
    assert links
    for link in links:
        assert link.startswith("http") or (ROOT / link).exists(), link
