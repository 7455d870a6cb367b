"""An installed package with entry points, as a folder on the path."""

from __future__ import annotations

from pathlib import Path

import pytest


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    module: str,
    source: str,
    entry_points: str,
) -> None:
    """Write a module and the metadata of its distribution, and put both on the path.

    Args:
        folder: An empty folder.
        monkeypatch: Takes the folder off the path again.
        module: Name of the module; no other test may use it.
        source: What is in it.
        entry_points: Content of ``entry_points.txt``.
    """
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
