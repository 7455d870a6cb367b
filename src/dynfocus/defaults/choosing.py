"""The rule by which a model is chosen for a video when a call names none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dynfocus.defaults.hub import RECOMMENDED, find_downloaded
from dynfocus.defaults.settings import MODEL_VARIABLE, read_settings, settings_file
from dynfocus.errors import NoModelError

if TYPE_CHECKING:
    from dynfocus.video import VideoReader

NANO = "nano"


@dataclass(frozen=True, kw_only=True)
class ChosenModel:
    """Name the model that answers, and say why it does."""

    name: str
    """What it is called: ``"nano"``, a folder, or a name on the hub."""
    source: str
    """What it is loaded from: its folder where it is on this machine."""
    reason: str
    """Why it was chosen, as the end of a sentence."""


def choose_model(video: str | Path | VideoReader) -> ChosenModel:
    """Choose what answers about a video.

    In this order: ``$DYNFOCUS_MODEL``, the user's settings, the shipped nano model for
    FocusWorld videos, the recommended model if it was downloaded.

    Args:
        video: A file that can be read, or what reads it.

    Raises:
        NoModelError: There is none; the message says what to run.
        ValueError: The settings cannot be read.
    """
    from dynfocus.world import is_world_video

    wanted = preferred_model()
    if wanted is not None:
        return wanted
    if is_world_video(video):
        reason = "as this is a FocusWorld video"
        return ChosenModel(name=NANO, source=NANO, reason=reason)
    found = downloaded_model()
    if found is None:
        shown = getattr(video, "path", video)
        raise NoModelError(
            f"no model here knows what {shown} shows: the shipped nano model only knows "
            "FocusWorld videos; run 'dynfocus download' once and then this again, or "
            "name a model with --model"
        )
    return found


def preferred_model() -> ChosenModel | None:
    """Give what the environment or the user's settings name, if they do."""
    own = os.environ.get(MODEL_VARIABLE, "").strip()
    if own:
        return _located(own, f"as {MODEL_VARIABLE} says")
    setting = read_settings().model
    return None if setting is None else _located(setting, f"as {settings_file()} says")


def downloaded_model() -> ChosenModel | None:
    """Give the recommended model, if it was downloaded."""
    folder = find_downloaded(RECOMMENDED)
    if folder is None:
        return None
    reason = "as it was downloaded; --model names another"
    return ChosenModel(name=RECOMMENDED, source=str(folder), reason=reason)


def _located(name: str, reason: str) -> ChosenModel:
    """Load from a folder what is on this machine, so that no network is needed."""
    folder: Path | None = Path(name).expanduser()
    if name == NANO:
        folder = None
    elif not Path(name).expanduser().is_dir():
        folder = find_downloaded(name)
    return ChosenModel(name=name, source=str(folder or name), reason=reason)
