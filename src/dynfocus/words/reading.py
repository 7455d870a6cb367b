"""Words of a video, from wherever they are: subtitles, transcripts and the picture."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from dynfocus.errors import UnreadWordsWarning
from dynfocus.text import sentence
from dynfocus.video import VideoName, VideoReader
from dynfocus.words.embedded import read_embedded
from dynfocus.words.picture_text import lacks_reader, require_reader
from dynfocus.words.store import WordStore
from dynfocus.words.subtitles import find_subtitles, read_subtitles
from dynfocus.words.timed_text import TimedText

OnRead = Callable[[VideoReader], None]
"""Called with a video before its pictures are read, and not where that was done before."""


class _Choice(NamedTuple):
    """Where words come from, where a call does not say."""

    subtitles: tuple[str | Path, ...] = ()
    screen: bool | None = None
    on_read: OnRead | None = None


_SLIDES_RATIO, _BUSY_RATIO = 0.03, 0.4  # seconds a second of video, as measured

_UNSAID = _Choice()
_chosen: ContextVar[_Choice] = ContextVar("words", default=_UNSAID)


@contextmanager
def words_from(
    subtitles: Sequence[str | Path] = (),
    screen: bool | None = None,
    on_read: OnRead | None = None,
) -> Iterator[None]:
    """Settle where words come from for all that reads them within, in this context.

    Args:
        subtitles: Files in place of those beside and inside a video; none for these.
        screen: Whether pictures are read; None where the packages for it are installed.
        on_read: Called before the pictures of a video are read.

    Raises:
        ImportError: Pictures are to be read, and a package is not installed.
    """
    if screen:
        require_reader()
    token = _chosen.set(_Choice(tuple(subtitles), screen, on_read))
    try:
        yield
    finally:
        _chosen.reset(token)


def read_words(
    video: VideoName | VideoReader,
    *,
    subtitles: str | Path | Sequence[str | Path] | None = None,
    screen: bool | None = None,
    store: WordStore | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[TimedText]:
    """Read what is written and said in a video.

    Subtitles are those that are named; else those beside the file and inside it. What is
    read in the picture is kept in a store, by the content of the file, so it is read once.

    Args:
        video: A video file, its address, or a reader of it; of a reader of an excerpt the
            whole file is read and what lies outside is left out.
        subtitles: Files of subtitles or transcripts, in place of those beside and inside.
        screen: Whether to read the picture, too; by default where the packages for it are
            installed, else that is said.
        store: Where readings are kept; by default in the user's index.
        progress: Called with the seconds of video read and those in all, while the picture
            is read.

    Returns:
        Timed texts by their start.

    Raises:
        FileNotFoundError: There is no such video, or no such file of subtitles.
        UnreadableVideoError: The file holds no video that can be decoded.
        ValueError: A file that is named holds no subtitles.
        ImportError: The packages that read the picture are not installed.
    """
    reader = video if isinstance(video, VideoReader) else VideoReader(video)
    chosen = _chosen.get()
    subtitles = chosen.subtitles or None if subtitles is None else subtitles
    screen = chosen.screen if screen is None else screen
    if subtitles is None:
        texts = [*_read_beside(reader), *read_embedded(reader)]
    else:
        named = [subtitles] if isinstance(subtitles, str | Path) else subtitles
        texts = [text for path in named for text in _read_file(reader, path)]
    if is_screen_read(screen):
        from dynfocus.words.screen import read_screen  # which needs other packages

        texts += read_screen(reader, store or WordStore(), progress, chosen.on_read)
    return sorted(_within(texts, reader), key=lambda one: (one.start, one.end))


def is_screen_read(wanted: bool | None) -> bool:
    """Settle whether pictures are read, and say so where they could be.

    Args:
        wanted: What the caller wants; None for what can be done.

    Raises:
        ImportError: It is wanted, and a package is not installed.
    """
    if wanted:
        require_reader()
    if wanted is not None:
        return wanted
    missing = lacks_reader()
    if missing is not None:
        warnings.warn(
            f"what is written in the picture is not read, for {missing} is not installed; "
            "install it with: pip install 'dynfocus[text]'",
            UnreadWordsWarning,
            stacklevel=3,
        )
    return missing is None


def estimate_seconds(duration: float) -> tuple[float, float]:
    """Tell beforehand what reading the pictures of a video costs.

    Args:
        duration: Its length in seconds.

    Returns:
        Seconds with two cores if it shows slides, and if its text changes all the time.
    """
    return duration * _SLIDES_RATIO, duration * _BUSY_RATIO


def _read_beside(reader: VideoReader) -> list[TimedText]:
    """Read what lies beside the video; a file that is no subtitles is no error."""
    texts: list[TimedText] = []
    for path in find_subtitles(reader.path):
        try:
            texts += _read_file(reader, path)
        except (OSError, ValueError) as error:
            if path.suffix.lower() != ".json":  # which may be anything
                warnings.warn(sentence(error), UnreadWordsWarning, stacklevel=3)
    return texts


def _read_file(reader: VideoReader, path: str | Path) -> list[TimedText]:
    return read_subtitles(
        path,
        duration=reader.timeline.declared_duration,
        late_seconds=reader.timeline.facts.late_seconds,
        video=reader.path,
    )


def _within(texts: Sequence[TimedText], reader: VideoReader) -> list[TimedText]:
    """Leave out what lies outside of an excerpt."""
    if not reader.is_excerpt:
        return list(texts)
    return [one for one in texts if one.start < reader.end and one.end >= reader.start]
