"""The folder of the user's cache in which what was learned of videos is kept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

FOLDER_VARIABLE = "DYNFOCUS_INDEX"


def default_folder() -> Path:
    """Find the user's index: ``$DYNFOCUS_INDEX``, or a folder in the user's cache."""
    own = os.environ.get(FOLDER_VARIABLE)
    if own:
        return Path(own).expanduser()
    try:
        cache = user_cache_path("dynfocus", appauthor=False)
    except RuntimeError:
        cache = Path()
    if not cache.is_absolute():  # a user without a home, as some containers have
        cache = Path(tempfile.gettempdir()) / "dynfocus"
    return cache / "index"
