"""What an index on disk holds: listed and removed."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynfocus.cli.console import plural, print_json, say

if TYPE_CHECKING:
    from dynfocus.index import IndexStore, StoredEntry


def keep_house(
    folder: Path | None, *, is_list: bool, is_empty: bool, json: bool
) -> None:
    """List or remove what an index holds.

    Args:
        folder: Its folder; by default the user's.
        is_list: Whether to list its entries instead of removing any.
        is_empty: Whether to remove all of them instead of what is no use.
        json: Whether to print one JSON document.
    """
    from dynfocus.index import IndexStore

    store = IndexStore(folder)
    if is_list:
        _list_entries(store, json=json)
        return
    removed = store.clean(everything=is_empty)
    if json:
        files = [str(path) for path in removed]
        print_json({"folder": str(store.folder), "removed": files})
        return
    for path in removed:
        print(path)
    say(f"{plural(len(removed), 'file')} removed from {store.folder}")


def _list_entries(store: IndexStore, *, json: bool) -> None:
    entries = store.entries()
    total = sum(entry.num_bytes for entry in entries)
    if json:
        rows = [_entry_row(entry) for entry in entries]
        folder = str(store.folder)
        print_json({"folder": folder, "num_bytes": total, "entries": rows})
        return
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used_seconds))
        if entry.facts is None:
            what = f"not used: {entry.problem}"
        else:
            frames = plural(entry.facts.num_frames, "frame")
            what = f"{entry.facts.source}\t{frames}, {entry.facts.model_name}"
        print(f"{used}\t{megabytes(entry.num_bytes)}\t{what}")
    say(f"{plural(len(entries), 'video')}, {megabytes(total)} in {store.folder}")


def _entry_row(entry: StoredEntry) -> dict[str, Any]:
    return {
        "path": str(entry.path),
        "num_bytes": entry.num_bytes,
        "used_seconds": entry.used_seconds,
        "storage": entry.storage,
        "problem": entry.problem,
        **({} if entry.facts is None else asdict(entry.facts)),
    }


def megabytes(num_bytes: int) -> str:
    """Write a size."""
    return f"{num_bytes / 1e6:.1f} MB"
