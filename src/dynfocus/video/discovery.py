"""Video files by name, by folder and by pattern."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from dynfocus.video.addresses import scheme_of
from dynfocus.video.files import as_file

VIDEO_SUFFIXES = (
    ".3gp",
    ".avi",
    ".flv",
    ".m2ts",
    ".m4v",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpeg",
    ".mpg",
    ".mts",
    ".ogv",
    ".ts",
    ".webm",
    ".wmv",
)
"""The endings by which videos are found in folders."""


def find_videos(names: Iterable[str | Path]) -> list[Path | str]:
    """List the video files that some names mean, each once.

    Args:
        names: Files, whatever their ending; addresses of http and https; folders, searched for video files with
            all folders below; patterns such as ``"talks/**/*.mp4"``.

    Returns:
        The files in the order of the names, those of a folder or a pattern sorted;
        addresses as they were given, not looked up.

    Raises:
        FileNotFoundError: A name means nothing.
        ValueError: It is an address that is not of http or https.
    """
    found: dict[Path | str, Path | str] = {}
    for name in names:
        if scheme_of(str(name)) is not None:
            as_file(str(name))  # refuses what is not read as a file
            found.setdefault(str(name), str(name))
            continue
        for path in _meant_by(name):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _meant_by(name: str | Path) -> list[Path]:
    path = Path(name)
    if name == "":  # which a path takes for the folder of the process
        raise FileNotFoundError(
            "a name is empty; give a file, a folder or a pattern, '.' for this folder"
        )
    if path.is_dir():
        files = _videos_below(path)
        if not files:
            endings = ", ".join(VIDEO_SUFFIXES)
            raise FileNotFoundError(f"{path} holds no video file ({endings})")
        return files
    if path.exists():
        return [path]
    if not glob.has_magic(str(name)):
        raise FileNotFoundError(f"{name} is no file and no folder; check the spelling")
    names = glob.glob(str(name), recursive=True)  # noqa: PTH207 absolute ones too
    matches = sorted(map(Path, names))
    folders = [match for match in matches if match.is_dir()]
    files = [match for match in matches if match.is_file()]
    if not files:
        files = [file for folder in folders for file in _videos_below(folder)]
    if not files:
        raise FileNotFoundError(f"no file matches {name}; check the pattern")
    return files


def _videos_below(folder: Path) -> list[Path]:
    """List video files in a folder and all below, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
