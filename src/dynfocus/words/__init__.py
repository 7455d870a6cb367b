"""What is written and said in a video, with the times at which it is."""

from typing import TYPE_CHECKING

from dynfocus.extensions import import_when_asked
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
"""The module that each name stands in; it is imported when the name is asked for."""

__getattr__ = import_when_asked(__name__, _HOMES)
