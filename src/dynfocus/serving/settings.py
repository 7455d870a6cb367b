"""What a server is started with: where it listens, what answers, what it may use."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

from platformdirs import user_data_path
from pydantic import Field

from dynfocus.validation import Count, Positive, checked

FOLDER_VARIABLE = "DYNFOCUS_LIBRARY"


@checked
class ServerSettings:
    """Where a server listens, what answers, and how much it takes on."""

    host: str = "127.0.0.1"
    """The interface that it listens on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """The port; 0 for any that is free."""
    model: str = "nano"
    """What answers: ``"nano"``, a folder, or a hub id."""
    folder: Path | None = None
    """The library of videos; by default ``$DYNFOCUS_LIBRARY`` or a folder of the user."""
    index_folder: Path | None = None
    """Where videos are kept once they are encoded; by default where every command does."""
    max_waiting: Count = 64
    """Questions that may wait; further ones are asked to come back."""
    answer_threads: Count = 1
    """Questions that are answered at once."""
    index_workers: Count = 1
    """Processes that read and encode videos."""
    shutdown_seconds: Positive = 10.0
    """How long questions in hand may take to finish when the server is stopped."""

    @property
    def library_folder(self) -> Path:
        """The folder of the library."""
        return default_library() if self.folder is None else self.folder


def default_library() -> Path:
    """Find the user's library: ``$DYNFOCUS_LIBRARY``, or a folder of the user's data."""
    own = os.environ.get(FOLDER_VARIABLE)
    if own:
        return Path(own).expanduser()
    try:
        data = user_data_path("dynfocus", appauthor=False)
    except RuntimeError:
        data = Path()
    if not data.is_absolute():  # a user without a home, as some containers have
        data = Path(tempfile.gettempdir()) / "dynfocus"
    return data / "library"
