"""Models of the hub: found on this machine, fetched once, every failure one sentence."""

from __future__ import annotations

import errno
import json
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynfocus.errors import DownloadError

NANO = "nano"
"""The model that the package ships."""
WORDS = "words"
"""What answers with what is written and said in a video, and asks no model."""
OWN_TYPES = ("dynfocus", "slowfocus")
"""The ``model_type`` of each kind of model of the project's own."""
NANO_QUESTIONS = (
    "What letter is on the red cross?",
    "Is the purple star small or large?",
    "What colour is the object with the letter C?",
    "What shape is the object with the letter C?",
    "Does a purple diamond appear?",
    "How many times does the red diamond appear?",
    "Which appears first, the red cross or the purple star?",
    "When does the purple star appear?",
    "Which room is shown most of the time?",
    "What strange thing happens?",
    "Which way does the cross move, left or right?",
    "Describe the video.",
)
"""What nano was taught to answer, literally, with other things in the places of these."""
RECOMMENDED = "HuggingFaceTB/SmolVLM2-500M-Video-Instruct"
"""A vision language model for videos that is small enough for a laptop's CPU."""
RECOMMENDED_SCORER = "google/siglip2-base-patch16-224"
"""A dual encoder that tells which frames belong to a question."""
_FILES = {
    "allow_patterns": ["*.safetensors", "*.json", "*.txt", "*.jinja", "*.model"],
    # the same weights again in another form
    "ignore_patterns": ["*/*", "consolidated*"],
}
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
_SOURCE = ".dynfocus-source"
_ANSWER_SECONDS = 4.0


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


def locate(name: str | Path) -> Path:
    """Give the folder that a model is loaded from; fetch what is not on this machine.

    Args:
        name: A folder, or a name on the hub, ``owner/name``.

    Raises:
        ValueError: It is neither.
        DownloadError: There is no such folder and it cannot be fetched; a hub that does
            not answer is given up within five seconds.
    """
    folder = Path(name).expanduser()
    if name != "" and folder.is_dir():
        return folder
    if isinstance(name, Path) or not _is_hub_name(name):
        raise ValueError(
            f"{str(name)!r} is neither 'nano', nor a folder, nor a hub id of the form "
            "owner/name; check the spelling"
        )
    try:
        return find_downloaded(name) or download(name).folder
    except DownloadError as error:
        raise DownloadError(f"there is no folder {name}, and {error}") from error


def model_type(name: str | Path) -> str | None:
    """Read the ``model_type`` in the configuration of a model.

    Args:
        name: ``"nano"``, a folder, or a name on the hub.

    Returns:
        The type, one of `OWN_TYPES` for the project's own; None for what is no model: who
        loads it says what is wrong.
    """
    if str(name) == NANO:
        return "dynfocus"
    from transformers import PreTrainedConfig

    try:
        fields, _ = PreTrainedConfig.get_config_dict(locate(name))
    except (KeyError, OSError, RuntimeError, TypeError, ValueError):
        return None
    found = fields.get("model_type")
    return found if isinstance(found, str) else None


def check_reachable(source: str | Path) -> None:
    """Refuse a name of the hub, within five seconds, where the hub does not answer.

    Args:
        source: A file, a folder or a name; only a name that is not on this machine asks
            the hub.

    Raises:
        DownloadError: The hub does not answer, or does not have it.
    """
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    name = str(source)
    if Path(source).exists() or not _is_hub_name(name):
        return
    try:
        huggingface_hub.snapshot_download(name, local_files_only=True)
    except LocalEntryNotFoundError:
        _ask(name)


def find_downloaded(name: str) -> Path | None:
    """Find a model of the hub in the cache, without asking the hub.

    Args:
        name: Its name on the hub, ``owner/name``.

    Returns:
        Its folder, or None if it is not there or not whole.
    """
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    if not _is_hub_name(name):
        return None
    try:
        folder = huggingface_hub.snapshot_download(
            name, local_files_only=True, **_FILES
        )
    except LocalEntryNotFoundError:
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
        missing += [n for n in _shards(folder / _INDEX) if not (folder / n).is_file()]
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


def download_bytes(name: str) -> int:
    """Ask the hub how many bytes a model takes.

    Raises:
        DownloadError: The hub does not answer, or does not have it.
    """
    from huggingface_hub.utils import filter_repo_objects

    files = {file.rfilename: file.size or 0 for file in _ask(name).siblings}
    return sum(files[file] for file in filter_repo_objects(files, **_FILES))


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
    if not _is_hub_name(name):
        raise DownloadError(
            f"a model of the hub is named owner/name, such as {RECOMMENDED}, got {name!r}"
        )
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


def _is_hub_name(name: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name


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

    # Asked first: what follows tries for a minute where nobody answers, and makes do
    # with half a folder where it may not ask.
    _ask(name)
    hub = huggingface_hub.utils
    hub.logging.set_verbosity_error()  # the bar alone on standard error
    if not sys.stderr.isatty():
        hub.disable_progress_bars()
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _SOURCE).write_text(f"{name}\n", encoding="utf-8")
        return Path(huggingface_hub.snapshot_download(name, local_dir=folder, **_FILES))
    except _failures() as error:
        raise DownloadError(_explain(error, name)) from error


def _ask(name: str) -> Any:
    """Ask the hub about a model, in a thread: resolving an address cannot be timed."""
    from huggingface_hub import HfApi

    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(HfApi().model_info(name, files_metadata=True))
        except _failures() as error:
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_ANSWER_SECONDS)
    answer = (
        answers[0] if answers else TimeoutError(f"silent for {_ANSWER_SECONDS:g} s")
    )
    if isinstance(answer, Exception):
        raise DownloadError(_explain(answer, name)) from answer
    return answer


def _failures() -> tuple[type[Exception], ...]:
    from huggingface_hub.errors import HfHubHTTPError

    # The first base is that of the HTTP library which the hub's uses.
    return (HfHubHTTPError.__bases__[0], OSError, RuntimeError)


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
