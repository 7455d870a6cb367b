"""What a server is started with: where it listens, what answers, what it may use."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from platformdirs import user_data_path
from pydantic import Field

from dynfocus.cache import find_folder
from dynfocus.serving.protection import Protection
from dynfocus.validation import Count, Natural, Positive, checked

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
    backend: Literal["vllm", "openai"] | None = None
    """A server that writes the answers: ``"vllm"`` gets video tokens, ``"openai"`` frames."""
    url: str | None = None
    """Its address."""
    api_key_env: str | None = None
    """Environment variable with its key; by default ``OPENAI_API_KEY``, if it is set."""
    timeout: Positive = 120.0
    """How long it may be silent, in seconds."""
    served_model: str | None = None
    """Name of the model there, where that is another than ``model``."""
    scorer: str | None = None
    """What compares frames with questions, for a plugged model or frames for a server."""
    budget: Count = 16
    """Frames that a server is sent for a question without ``max_video_tokens``."""
    folder: Path | None = None
    """The library of videos; by default ``$DYNFOCUS_LIBRARY`` or a folder of the user."""
    index_folder: Path | None = None
    """Where videos are kept once they are encoded; by default where every command does."""
    max_waiting: Count = 64
    """Questions that may wait; further ones are asked to come back."""
    answer_threads: Count = 1
    """Questions that are answered at once."""
    max_waiting_per_client: Count = 32
    """How many of them may be of one client."""
    index_workers: Natural = 1
    """Processes that read and encode videos, beside one with the model that answers; 0 for
    threads of the server's own, which share one model."""
    max_jobs: Count = 256
    """Videos that may wait to be read; further ones are asked to come back."""
    passing_bytes: Count = 4 * 2**30
    """How much is kept of videos that came with a question."""
    roots: tuple[Path, ...] = ()
    """Folders whose files may be named by ``file:`` addresses."""
    protection: Protection = field(default_factory=Protection)
    """Whom it lets in, and what it takes from them."""
    shutdown_seconds: Positive = 10.0
    """How long the server may take to end when it is stopped; all but the last second is
    for answers that are being written, the questions that wait are refused at once."""

    def __post_init__(self) -> None:
        if self.backend is not None and not self.url:
            raise ValueError(
                f"backend {self.backend} needs url, such as http://localhost:8001/v1"
            )

    @property
    def answer_seconds(self) -> float:
        """How long answers that are being written may go on when the server is stopped."""
        return max(0.0, self.shutdown_seconds - 1.0)

    @property
    def library_folder(self) -> Path:
        """The folder of the library."""
        return default_library() if self.folder is None else self.folder


def default_library() -> Path:
    """Find the user's library: ``$DYNFOCUS_LIBRARY``, or a folder of the user's data."""
    return find_folder(FOLDER_VARIABLE, user_data_path, "library")
