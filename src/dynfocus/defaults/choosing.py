"""Which model answers when a call names none: the user's settings, else a rule."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dynfocus.atomic import write_atomically
from dynfocus.defaults.hub import NANO, RECOMMENDED, WORDS, find_downloaded
from dynfocus.errors import NoModelError

if TYPE_CHECKING:
    from dynfocus.video import VideoName, VideoReader

MODEL_VARIABLE = "DYNFOCUS_MODEL"
"""Environment variable that names the model; it goes before the settings."""
_MODEL_LINE = re.compile(r"^[ \t]*model[ \t]*=.*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class ChosenModel:
    """Name the model that answers, and say why it does."""

    name: str
    """What it is called: ``"nano"``, a folder, or a name on the hub."""
    source: str
    """What it is loaded from: its folder where it is on this machine."""
    reason: str
    """Why it was chosen, as the end of a sentence."""


def choose_model(video: VideoName | VideoReader) -> ChosenModel:
    """Choose what answers about a video.

    In this order: ``$DYNFOCUS_MODEL``, the user's settings, the shipped nano model for
    FocusWorld videos, the recommended model if it was downloaded, and else what finds the
    words of a video, where the extra ``text`` is installed.

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
    if found is None and find_spec("pysubs2") and find_spec("rapidocr"):
        return ChosenModel(
            name=WORDS,
            source=WORDS,
            reason="so that no model is asked: what was read in the video is searched; "
            "'dynfocus download' fetches a model that knows what it shows",
        )
    if found is None:
        shown = getattr(video, "path", video)
        raise NoModelError(
            f"no model here knows what {shown} shows: the shipped nano model only knows "
            "FocusWorld videos; run 'dynfocus download' once and then this again, name a "
            "model with --model, or have what is written and said in it found: "
            "pip install 'dynfocus[text]'"
        )
    return found


def choose_for_all(videos: Sequence[VideoName | VideoReader]) -> ChosenModel:
    """Choose what answers about several videos: what knows the least known of them.

    Args:
        videos: One video or more, as for `choose_model`.

    Raises:
        NoModelError: There is none for one of them; the message says what to run.
        ValueError: The settings cannot be read.
    """
    chosen = [choose_model(video) for video in videos]
    return next((one for one in chosen if one.name != NANO), chosen[0])


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
    if name in (NANO, WORDS):
        folder = None
    elif not Path(name).expanduser().is_dir():
        folder = find_downloaded(name)
    return ChosenModel(name=name, source=str(folder or name), reason=reason)


@dataclass(frozen=True, kw_only=True)
class UserSettings:
    """Hold what ``config.toml`` says."""

    model: str | None = None
    """What answers when a call names no model: a folder, a name on the hub or ``nano``."""

    def __post_init__(self) -> None:
        if self.model is None:
            return
        if not isinstance(self.model, str) or not self.model.strip():
            raise ValueError(
                f"model must be a folder, a name on the hub or 'nano' in quotes, got "
                f"{self.model!r}; correct or delete the line"
            )


def settings_file() -> Path:
    """Find ``config.toml``, where the system keeps settings: ``~/.config/dynfocus``."""
    import platformdirs

    return platformdirs.user_config_path("dynfocus") / "config.toml"


def read_settings(path: Path | None = None) -> UserSettings:
    """Read the user's settings; a file that is not there sets nothing.

    Args:
        path: The file; by default `settings_file`.

    Raises:
        ValueError: The file is not TOML, or says what no setting is.
    """
    path = path or settings_file()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return UserSettings()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}); save it anew") from error
    return _parse(text, path)


def save_model(model: str) -> Path:
    """Write into the user's settings which model answers; other lines stay.

    Args:
        model: A folder, a name on the hub or ``nano``.

    Returns:
        The file, `settings_file`.

    Raises:
        ValueError: What the file holds cannot be read.
    """
    path = settings_file()
    UserSettings(model=model)
    read_settings(path)
    line = f"model = {json.dumps(model, ensure_ascii=False)}"
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    text, count = _MODEL_LINE.subn(lambda _: line, before)
    if not count:
        text = f"{line}\n{before}"
    _parse(text, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)
    return path


def _parse(text: str, path: Path) -> UserSettings:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}; correct it") from error
    known = [field.name for field in fields(UserSettings)]
    unknown = sorted(tree.keys() - set(known))
    if unknown:
        raise ValueError(
            f"{path} has {unknown[0]!r}, which is no setting; accepted is "
            f"{', '.join(known)}"
        )
    try:
        return UserSettings(**tree)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
