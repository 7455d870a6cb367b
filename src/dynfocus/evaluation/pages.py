"""A result as Markdown, JSON and a picture, with what made it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from dynfocus.provenance import describe_hardware


def write_page(
    folder: str | Path,
    name: str,
    *,
    title: str,
    command: str,
    commit: str,
    facts: Mapping[str, Any],
    body: Iterable[str],
    picture: Figure,
    caption: str,
) -> Path:
    """Write NAME.md, NAME.json and NAME.png and return the first.

    Args:
        folder: Created if missing.
        name: Of the files.
        title: Of the page.
        command: What was typed.
        commit: Of the source.
        facts: What the JSON document holds beside command, commit and hardware.
        body: Lines between what made the page and the picture.
        picture: What the page ends with.
        caption: What the picture shows.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    hardware = describe_hardware()
    document = {"command": command, "commit": commit, "hardware": hardware, **facts}
    (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    picture.savefig(folder / f"{name}.png", dpi=120)
    lines = [
        f"# {title}",
        "",
        f"`{command}`, commit {commit[:12]}, {hardware}.",
        "",
        *body,
        f"![{caption}]({name}.png)",
        "",
    ]
    path = folder / f"{name}.md"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path
