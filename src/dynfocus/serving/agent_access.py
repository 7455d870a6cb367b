"""Which videos agents may read, those below some folders, and what they are.

What needs no network and no picture stands here: it is there in a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dynfocus.serving.agent_answers import AgentAnswer
from dynfocus.text import check_name
from dynfocus.video import (
    RemoteFile,
    VideoFile,
    find_videos,
    is_web_address,
    probe_video,
)
from dynfocus.video.addresses import scheme_of


class AllowedVideos:
    """Find the videos that may be read, and refuse all else.

    Links are resolved first: what counts is where a file lies, not what it is called.
    Whether there is a file outside the folders is not told.

    Args:
        folders: The folders, with all below.
        allows_web: Whether public addresses of http and https may be read, too.

    Raises:
        NotADirectoryError: One is no folder.
    """

    def __init__(self, folders: Sequence[Path], *, allows_web: bool = False) -> None:
        for folder in folders:
            if not folder.is_dir():
                raise NotADirectoryError(
                    f"{folder} is no folder; name folders whose videos may be read"
                )
        self.folders = tuple(folder.resolve() for folder in folders)
        self.allows_web = allows_web

    def find(self, name: str) -> VideoFile:
        """Find what a name means: a file, a folder, or an address.

        Args:
            name: A path, absolute or from one of the folders on; or an address.

        Raises:
            ValueError: It names nothing that may be read.
            FileNotFoundError: There is no such file in the folders.
        """
        name = check_name(name, "the name of the video")
        if scheme_of(name) is not None:
            return self._open_address(name)
        meant = [self._resolve(folder / name) for folder in self.folders]
        allowed = [path for path in meant if path is not None]
        if not allowed:
            raise ValueError(f"{name} is outside what may be read: {self._listed()}")
        for path in allowed:
            if path.is_file() or path.is_dir():
                return path
        raise FileNotFoundError(
            f"there is no file {name} in {self._listed()}; probe a folder to list its "
            "videos"
        )

    def list_videos(self, folder: Path) -> list[str]:
        """List the videos in a folder and all below, each as `find` takes it.

        Args:
            folder: A folder that `find` gave.

        Returns:
            Their paths in order; those that links lead out of the folders are left out.
        """
        try:
            found = find_videos([folder])
        except FileNotFoundError:  # which holds no video
            return []
        return [str(path) for path in found if self._resolve(Path(path)) is not None]

    def _open_address(self, name: str) -> RemoteFile:
        if not self.allows_web:
            raise ValueError(
                f"addresses are not opened here; name a file in {self._listed()}, or let "
                "dynfocus mcp be started with --web"
            )
        if not is_web_address(name):
            raise ValueError("of addresses only those of http and https are opened")
        from dynfocus.video import FetchPolicy

        return RemoteFile(name, FetchPolicy(allow_private=False))

    def _resolve(self, path: Path) -> Path | None:
        """Follow links; None where they lead out of the folders, or in a circle."""
        try:
            real = path.resolve()
        except (OSError, RuntimeError):
            return None
        return real if any(map(real.is_relative_to, self.folders)) else None

    def _listed(self) -> str:
        return " and ".join(map(str, self.folders))


def probe(
    videos: AllowedVideos, name: str, progress: Callable[[int, int], None] | None = None
) -> AgentAnswer:
    """Say what a video file is, or which videos a folder holds.

    Args:
        videos: What may be read.
        name: The file, the folder or the address.
        progress: Called with frames decoded and frames in all.

    Raises:
        ValueError: It names nothing that may be read, or no video.
        FileNotFoundError: There is no such file.
    """
    found = videos.find(name)
    if isinstance(found, Path) and found.is_dir():
        listed = videos.list_videos(found)
        return AgentAnswer(document={"folder": str(found), "videos": listed})
    return AgentAnswer(document=probe_video(found, progress=progress).to_dict())
