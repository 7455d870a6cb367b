"""What of a model is on this machine, in the cache that hub libraries share."""

from __future__ import annotations

import json
from pathlib import Path

RECOMMENDED = "HuggingFaceTB/SmolVLM2-500M-Video-Instruct"
"""A vision language model for videos that is small enough for a laptop's CPU."""
WANTED = ("*.safetensors", "*.json", "*.txt", "*.jinja", "*.model")
"""The files of a repository that a model is loaded from."""
UNWANTED = ("*/*", "consolidated*")
"""Of these, the ones that hold the same weights again in another form."""
_INDEX = "model.safetensors.index.json"
_ONE_OF = (
    ("config.json",),
    ("model.safetensors", _INDEX),
    ("tokenizer.json", "tokenizer.model", "vocab.json"),
    (
        "preprocessor_config.json",
        "video_preprocessor_config.json",
        "processor_config.json",
    ),
)


def find_downloaded(name: str) -> Path | None:
    """Find a model of the hub in the cache, without asking the hub.

    Args:
        name: Its name on the hub, ``owner/name``.

    Returns:
        Its folder, or None if it is not there or not whole.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            name,
            local_files_only=True,
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
        )
    except (HFValidationError, LocalEntryNotFoundError):
        return None
    return None if missing_parts(folder) else Path(folder)


def missing_parts(folder: str | Path) -> tuple[str, ...]:
    """List what a folder lacks of a whole model.

    Args:
        folder: Where the files are.

    Returns:
        File names; where one of several would do, all of them in one entry.
    """
    folder = Path(folder)
    missing = [
        " or ".join(names)
        for names in _ONE_OF
        if not any((folder / name).is_file() for name in names)
    ]
    if not (folder / "model.safetensors").is_file() and (folder / _INDEX).is_file():
        missing += [
            name for name in _shards(folder / _INDEX) if not (folder / name).is_file()
        ]
    return tuple(missing)


def _shards(index: Path) -> list[str]:
    try:
        weights = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return sorted(set(weights.values()))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{index} does not list the files of the weights; delete it and run "
            "dynfocus download again"
        ) from error
