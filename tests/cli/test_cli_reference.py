from __future__ import annotations

from pathlib import Path

from dynfocus.cli.reference import main as write_reference
from dynfocus.cli.reference import make_reference

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_what_the_program_says():
    assert PAGE.read_text(encoding="utf-8") == make_reference(), (
        "run: python -m dynfocus.cli.reference docs/cli.md"
    )


def test_the_page_goes_to_the_file_that_is_named(tmp_path, capsys):
    write_reference([str(tmp_path / "cli.md")])
    assert (tmp_path / "cli.md").read_text(encoding="utf-8") == make_reference()
    write_reference([])
    assert capsys.readouterr().out == make_reference()
