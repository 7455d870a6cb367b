"""What the name of a video means: a file on a disk or at an address.

A module of its own, since all that reads files needs it and only one kind is remote.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from dynfocus.text import check_name
from dynfocus.video.addresses import (
    is_web_address,
    restore_address,
    scheme_of,
    show_address,
)
from dynfocus.video.remote import RemoteFile

VideoFile: TypeAlias = Path | RemoteFile
"""A file on a disk or at an address; both have ``name``, ``stem`` and ``open``."""
VideoName: TypeAlias = str | Path | RemoteFile
"""The name of a file, its address, or a file."""


def as_file(video: VideoName) -> VideoFile:
    """Tell an address from the name of a file.

    Args:
        video: An address of http or https, also one of which `Path` took a slash; the
            name of a file; or what this function gives.

    Raises:
        ValueError: It is an address that begins otherwise, or no name.
    """
    if isinstance(video, RemoteFile):
        return video
    if isinstance(video, str):
        check_name(video, "the name of the video")
    name = restore_address(str(video)) if isinstance(video, Path) else video
    if is_web_address(name):
        return RemoteFile(name)
    scheme = scheme_of(name)
    if scheme is not None:
        raise ValueError(
            f"{show_address(name)}: addresses of {scheme} are not read as files, only "
            "those of http and https; 'dynfocus watch' takes streams."
        )
    return Path(video)


def size_of(file: VideoFile) -> int:
    """Give the length of a file in bytes."""
    return file.num_bytes if isinstance(file, RemoteFile) else file.stat().st_size
