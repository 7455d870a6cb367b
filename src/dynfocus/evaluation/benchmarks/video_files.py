"""Where the videos of a benchmark lie, by the names that its annotations use."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dynfocus.video.discovery import VIDEO_SUFFIXES

_PARTIAL = (".part", ".crdownload", ".aria2", ".incomplete", ".ytdl", ".tmp")


@dataclass(frozen=True, kw_only=True)
class VideoFiles:
    """The videos under a folder."""

    by_name: Mapping[str, str]
    """Path below the folder, by each end of the path, with and without its ending."""
    partial: Sequence[str]
    """Files that are empty, or that a download left half done."""

    def find(self, names: Iterable[str]) -> str | None:
        """Give the path of the first name that is there, below the folder."""
        for name in names:
            key = name.strip().removeprefix("./").casefold()
            found = self.by_name.get(key)
            if found is None and PurePosixPath(key).suffix in VIDEO_SUFFIXES:
                found = self.by_name.get(str(PurePosixPath(key).with_suffix("")))
            if found is not None:
                return found
        return None


def scan_videos(data: Path, folders_of_frames: bool = False) -> VideoFiles:
    """Look through a folder for videos.

    Args:
        data: The folder, with all folders below.
        folders_of_frames: Whether a folder of JPEG files counts as a video.
    """
    found: dict[str, str] = {}
    partial: list[str] = []
    for place, folders, files in os.walk(data, followlinks=True):
        folders.sort()
        below = Path(place).relative_to(data)
        for name in sorted(files):
            path = (below / name).as_posix()
            suffix = Path(name).suffix.lower()
            if suffix in _PARTIAL:
                partial.append(path)
            elif suffix in VIDEO_SUFFIXES:
                if (data / path).stat().st_size:
                    _add(found, path)
                else:
                    partial.append(path)
        if folders_of_frames and any(name.lower().endswith(".jpg") for name in files):
            _add(found, below.as_posix())
    return VideoFiles(by_name=found, partial=partial)


def _add(found: dict[str, str], path: str) -> None:
    """File a path under all of its ends; the first path of an end keeps it."""
    parts = PurePosixPath(path.casefold()).parts
    for begin in range(len(parts)):
        end = PurePosixPath(*parts[begin:])
        for key in (str(end), str(end.with_suffix(""))):
            found.setdefault(key, path)
