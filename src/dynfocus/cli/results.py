"""Results of ``dynfocus eval``: written with what made them, and shown."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynfocus.cli.console import print_json


def write_result(out: Path, name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Write a result, and return it with the place of its page."""
    from dynfocus.evaluation import write_page
    from dynfocus.provenance import source_commit

    command = shlex.join(["dynfocus", *sys.argv[1:]])
    page = write_page(out, name, document, command=command, commit=source_commit())
    return {"page": str(page), **document}


def show_result(found: dict[str, Any] | list[dict[str, Any]], json: bool) -> None:
    """Print the pages of results, or the results as one JSON document."""
    if json:
        print_json(found)
        return
    for one in [found] if isinstance(found, dict) else found:
        print(Path(one["page"]).read_text(encoding="utf-8"))
