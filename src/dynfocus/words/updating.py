"""A library of words brought up to date: what is new or changed is read, the rest is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynfocus.cache import default_folder
from dynfocus.text import sentence
from dynfocus.video import RemoteFile, VideoName, VideoReader, as_file
from dynfocus.words.library import WordsLibrary
from dynfocus.words.meaning import is_meaning_installed
from dynfocus.words.subtitles import find_subtitles
from dynfocus.words.timed_text import TimedText

Read = Callable[[VideoReader], list[TimedText]]
"""Reads the words of a video."""
_WITH_SCREEN = " screen"


def default_library() -> Path:
    """Find the user's library, in the folder of the index."""
    return default_folder() / "words.db"


@dataclass(frozen=True, kw_only=True)
class Update:
    """What became of a video whose words a library should hold."""

    video: str
    """Its file or address, as the library names it."""
    num_texts: int | None = None
    """Texts that were read; None where nothing had to be."""
    error: str | None = None
    """Why it could not be read; what the library held of it stays."""


def library_name(video: VideoName) -> str:
    """Give the name by which a library knows a video: its whole path, or its address."""
    file = as_file(video)
    return str(file) if isinstance(file, RemoteFile) else str(file.resolve())


def stamp_of(
    video: VideoName, *, subtitles: Sequence[Path] = (), screen: bool = True
) -> str:
    """Tell versions of a video and of its subtitles apart, without reading them.

    Args:
        video: The video.
        subtitles: Files that are read in place of those beside it.
        screen: Whether the picture is read, too.

    Raises:
        FileNotFoundError: There is no such file.
    """
    file = as_file(video)
    if isinstance(file, RemoteFile):
        parts = [str(file.identity)]
    else:
        beside = subtitles or find_subtitles(file)
        parts = [
            f"{path.name}:{facts.st_size}:{facts.st_mtime_ns}"
            for path in (file, *beside)
            for facts in [path.stat()]
        ]
    return "|".join(parts) + _WITH_SCREEN * screen


def is_current(held: str | None, wanted: str) -> bool:
    """Tell whether what a library holds is what would be read, or more of it."""
    return held is not None and held in (wanted, f"{wanted}{_WITH_SCREEN}")


def update_library(
    path: Path,
    videos: Iterable[VideoName],
    read: Read,
    *,
    subtitles: Sequence[Path] = (),
    screen: bool = True,
) -> Iterator[Update]:
    """Read the words of videos that are new to a library, or were changed.

    So are those that were kept before the extra ``meaning`` was installed.

    Each video is kept as soon as it is read, so that a run that stops goes on.

    Args:
        path: The library's file; made where it is not there.
        videos: The videos.
        read: Reads the words of one.
        subtitles: Files that ``read`` takes in place of those beside the video.
        screen: Whether ``read`` reads the picture.

    Yields:
        What became of each video.

    Raises:
        WordsLibraryError: The library cannot be written.
    """
    stamps: dict[str, str] = {}
    if path.exists():
        with WordsLibrary(path) as library:
            stamps = {
                one.name: one.stamp
                for one in library.videos()
                if one.has_meaning or not is_meaning_installed()
            }
    writer: WordsLibrary | None = None
    try:
        for video in videos:
            name = library_name(video)
            try:
                stamp = stamp_of(video, subtitles=subtitles, screen=screen)
                if is_current(stamps.get(name), stamp):
                    yield Update(video=name)
                    continue
                reader = VideoReader(video)
                texts = read(reader)
            except (OSError, ValueError) as error:
                yield Update(video=name, error=sentence(error))
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            writer = writer or WordsLibrary(path, is_writable=True)
            duration = float(reader.duration)
            writer.put(name, texts, stamp=stamp, duration=duration)
            yield Update(video=name, num_texts=len(texts))
    finally:
        if writer is not None:
            writer.close()


def is_changed(name: str, stamp: str) -> str | None:
    """Say what became of a file since its words were read; None where nothing did."""
    if not Path(name).exists():
        return None if "://" in name else "is not there any more"
    facts = Path(name).stat()
    held = stamp.split("|", 1)[0].removesuffix(_WITH_SCREEN)
    now = f"{Path(name).name}:{facts.st_size}:{facts.st_mtime_ns}"
    return None if held == now else "was changed since its words were read"
