"""A model comes from the hub once, with a progress bar; every failure is one sentence."""

from __future__ import annotations

import errno
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynfocus.defaults.hub_cache import (
    RECOMMENDED,
    UNWANTED,
    WANTED,
    find_downloaded,
    missing_parts,
)
from dynfocus.errors import DownloadError

_SOURCE = ".dynfocus-source"


@dataclass(frozen=True, kw_only=True)
class Download:
    """Say where a model is and how it came there."""

    name: str
    """Its name on the hub."""
    folder: Path
    """Where it is."""
    is_new: bool
    """Whether anything had to be fetched."""

    @property
    def num_bytes(self) -> int:
        """Count the bytes of its files."""
        files = (file for file in self.folder.iterdir() if file.is_file())
        return sum(file.stat().st_size for file in files)


def download(name: str = RECOMMENDED, *, folder: str | Path | None = None) -> Download:
    """Fetch a model from the hub, unless it is whole on this machine.

    What was fetched before an interruption is not fetched again.

    Args:
        name: Its name on the hub, ``owner/name``.
        folder: Where it goes; by default the cache that hub libraries share.

    Returns:
        Where it is.

    Raises:
        DownloadError: It is not there, not to be had, or no model that can be loaded.
    """
    _check_name(name)
    if folder is None:
        found = find_downloaded(name)
    else:
        folder = Path(folder).expanduser().absolute()
        found = folder if _is_own(folder, name) and not missing_parts(folder) else None
    if found is not None:
        return Download(name=name, folder=found, is_new=False)
    fetched = _fetch(name, folder)
    missing = missing_parts(fetched)
    if missing:
        raise DownloadError(
            f"{name} is not a model that can be loaded: its repository has no "
            f"{missing[0]}; name another"
        )
    return Download(name=name, folder=fetched, is_new=True)


def _check_name(name: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
        is_valid = "/" in name
    except HFValidationError:
        is_valid = False
    if not is_valid:
        raise DownloadError(
            f"a model of the hub is named owner/name, such as {RECOMMENDED}, got {name!r}"
        )


def _is_own(folder: Path, name: str) -> bool:
    """Tell whether a folder was begun for this model; refuse what holds anything else."""
    if folder.exists() and not folder.is_dir():
        raise DownloadError(
            f"{folder} is a file; give a folder, or a name that is free"
        )
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    note = folder / _SOURCE
    source = note.read_text(encoding="utf-8").strip() if note.is_file() else None
    if source == name:
        return True
    holds = "other files" if source is None else source
    raise DownloadError(
        f"{folder} already holds {holds}; give an empty or a new folder"
    )


def _fetch(name: str, folder: Path | None) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    _keep_quiet(huggingface_hub)
    http_error = HfHubHTTPError.__bases__[0]  # of the HTTP library that the hub's uses
    try:
        # asked first, since what follows would make do with half a folder when offline
        huggingface_hub.HfApi().model_info(name)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _SOURCE).write_text(f"{name}\n", encoding="utf-8")
        return Path(
            huggingface_hub.snapshot_download(
                name,
                local_dir=folder,
                allow_patterns=list(WANTED),
                ignore_patterns=list(UNWANTED),
            )
        )
    except (http_error, OSError, RuntimeError) as error:
        raise DownloadError(_explain(error, name)) from error


def _keep_quiet(hub: Any) -> None:
    """Leave the progress bar alone on standard error, and that to terminals."""
    hub.utils.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        hub.utils.disable_progress_bars()


def _explain(error: Exception, name: str) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return (
            f"{name} is given only to those who accepted its terms; do so at "
            f"https://huggingface.co/{name} and log in with: hf auth login"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"the hub has no model {name}, or it is private; check the spelling, or log "
            "in with: hf auth login"
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return (
            f"{name} is not on this machine and HF_HUB_OFFLINE forbids to fetch it; unset "
            "it, or give a folder that holds the model with --model"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full before {name} is here; make room and run the same command "
            "again, which goes on, or choose another disk with --folder or HF_HOME"
        )
    if isinstance(error, OSError) and error.errno is not None and error.filename:
        return f"{name} cannot be written to {error.filename}: {error.strerror}"
    if isinstance(error, errors.HfHubHTTPError):
        return f"the hub refuses {name}: {_first_line(error)}; try again later"
    return (
        f"{name} cannot be fetched from the hub ({_first_line(error)}); check the network "
        "and run the same command again, which goes on where it was, or copy the "
        "model's folder here and name it with --model"
    )


def _first_line(error: BaseException) -> str:
    """Give the first line of what was wrong at the bottom."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip()
    return text.splitlines()[0].rstrip(" .:") if text else type(error).__name__
