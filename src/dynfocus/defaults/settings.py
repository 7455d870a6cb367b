"""The user's settings: a small file of what every call should know."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

import platformdirs

from dynfocus.atomic import write_atomically

MODEL_VARIABLE = "DYNFOCUS_MODEL"
"""Environment variable that names the model; it goes before the settings."""
_MODEL_LINE = re.compile(r"^[ \t]*model[ \t]*=.*$", re.MULTILINE)


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


def save_model(model: str, path: Path | None = None) -> Path:
    """Write into the user's settings which model answers; other lines stay.

    Args:
        model: A folder, a name on the hub or ``nano``.
        path: The file; by default `settings_file`.

    Returns:
        The file.

    Raises:
        ValueError: What the file holds cannot be read.
    """
    path = path or settings_file()
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
