"""Folders of the user: what was learned of videos is kept in one of the cache."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path

FOLDER_VARIABLE = "DYNFOCUS_INDEX"


def default_folder() -> Path:
    """Find the user's index: ``$DYNFOCUS_INDEX``, or a folder in the user's cache."""
    return find_folder(FOLDER_VARIABLE, user_cache_path, "index")


def find_folder(variable: str, find: Callable[..., Path], name: str) -> Path:
    """Find a folder of the user.

    Args:
        variable: Environment variable that names it, where the user sets it.
        find: Finds the folder that it is in else, as ``platformdirs`` does.
        name: Its name there.
    """
    own = os.environ.get(variable)
    if own:
        return Path(own).expanduser()
    try:
        base = find("dynfocus", appauthor=False)
    except RuntimeError:
        base = Path()
    if not base.is_absolute():  # a user without a home, as some containers have
        base = Path(tempfile.gettempdir()) / "dynfocus"
    return base / name
