"""Words of the library's videos: read once, when somebody first looks for some."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynfocus.words import WordsLibrary, read_words
from dynfocus.words.reading import is_screen_read
from dynfocus.words.updating import (
    is_current,
    library_name,
    stamp_of,
    update_library,
)

if TYPE_CHECKING:
    from dynfocus.words import Found


def read_into(file: Path, video: Path, progress: Callable[[int, int], None]) -> None:
    """Read the words of a video into a file of words, unless they are there.

    Args:
        file: The file of words.
        video: The video.
        progress: Called with the seconds read and those in all.

    Raises:
        ValueError: The video cannot be read.
    """
    screen = is_screen_read(None)
    read = partial(read_words, screen=screen, progress=progress)
    for update in update_library(file, [video], read, screen=screen):
        if update.error is not None:
            raise ValueError(update.error)


def has_words(file: Path, video: Path) -> bool:
    """Tell whether the words of a video were read, as they would be now."""
    if not file.exists():
        return False
    with WordsLibrary(file) as words:
        held = words.stamp(library_name(video))
    return is_current(held, stamp_of(video, screen=is_screen_read(None)))


def find_in(file: Path, video: Path, query: str, limit: int) -> list[dict[str, Any]]:
    """Find where something is shown or said in a video, the best place first.

    Raises:
        ValueError: The query is empty or its times exclude each other.
    """
    with WordsLibrary(file) as words:
        found = words.search(query, limit=limit, videos=[library_name(video)])
    return [_describe(one) for one in found if one.is_related]


def forget_words(file: Path, video: Path) -> None:
    """Forget the words of a video."""
    if file.exists():
        with WordsLibrary(file, is_writable=True) as words:
            words.remove(library_name(video))


def _describe(place: Found) -> dict[str, Any]:
    return {
        "start": round(place.start, 3),
        "end": round(place.end, 3),
        "text": place.text,
        "source": place.source,
        "score": round(place.score, 4),
    }
