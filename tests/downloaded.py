"""A model in the hub's cache, laid out as the hub's library leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stand_in_hub import COMMIT

WHOLE = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "preprocessor_config.json": b"{} ",
    "tokenizer.json": b"{}  ",
}


def put_into_cache(cache: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """Write files into the cache and give the folder of their snapshot."""
    storage = cache / f"models--{name.replace('/', '--')}"
    folder = storage / "snapshots" / COMMIT
    (storage / "refs").mkdir(parents=True)
    (storage / "refs" / "main").write_text(COMMIT)
    for file, body in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(body)
    return folder
