"""What is written and said in a video, with the times at which it is."""

from typing import TYPE_CHECKING, Any

from dynfocus.words.timed_text import TimedText

if TYPE_CHECKING:
    from dynfocus.words.finding import Found
    from dynfocus.words.library import KnownVideo, WordsLibrary
    from dynfocus.words.reading import read_words
    from dynfocus.words.screen import ScreenReader
    from dynfocus.words.store import WordStore
    from dynfocus.words.subtitles import find_subtitles, read_subtitles

__all__ = [
    "Found",
    "KnownVideo",
    "ScreenReader",
    "TimedText",
    "WordStore",
    "WordsLibrary",
    "find_subtitles",
    "read_subtitles",
    "read_words",
]

_HOMES = {
    "Found": "finding",
    "KnownVideo": "library",
    "ScreenReader": "screen",
    "WordStore": "store",
    "WordsLibrary": "library",
    "find_subtitles": "subtitles",
    "read_subtitles": "subtitles",
    "read_words": "reading",
}


def __getattr__(name: str) -> Any:
    """Import what reads videos, and a decoder with it, where it is wanted."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
