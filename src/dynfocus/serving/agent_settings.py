"""Settings of the tools for agents, declared once for the command and for Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from dynfocus.validation import Count, checked

MomentSource = Literal["auto", "rating", "words", "slowfocus"]
"""What tells when something is shown; ``"auto"`` for the first there is."""


@checked
class AgentSettings:
    """What agents may look at, with which model, and how much an answer may hold."""

    folders: tuple[Path, ...]
    """Folders whose videos may be read, with all folders below."""
    allows_web: bool = False
    """Whether videos at public addresses of http and https may be read, too."""
    model: str | None = None
    """What answers: ``"nano"``, a folder, or a hub id; by default as for ``ask``."""
    scorer: str | None = None
    """What rates frames for a question: a dual encoder by name or folder; by default the
    one that was downloaded, ``"none"`` for nothing."""
    max_characters: Annotated[int, Field(ge=500)] = 20_000
    """Most characters of text in an answer."""
    max_picture_bytes: Count = 700_000
    """Most bytes of all pictures in an answer, as they are sent."""
    num_workers: Count = 2
    """How many calls are worked on at once; others wait."""

    def __post_init__(self) -> None:
        if not self.folders:
            raise ValueError("folders is empty; name at least one folder with videos")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Which part of which video is looked at."""

    video: str
    """A file in the folders that may be read, or an address."""
    start: float | str | None = None
    """Where it begins: seconds, ``m:ss`` or ``h:mm:ss``."""
    end: float | str | None = None
    """Where it ends."""
