"""Words of a video that is still coming: read, told, and known to the questions."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dynfocus.text import round_floats, to_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dynfocus.models import Session
    from dynfocus.words import TimedText


def settle_reading(
    wanted: bool | None, subtitles: Sequence[Path] | None, *, is_wanted: bool
) -> bool:
    """Settle whether pictures are read: where it is asked for, or the scorer needs it.

    Args:
        wanted: What the call says, if it does.
        subtitles: Files that the call names in place of what is read.
        is_wanted: Whether the scorer goes by words.

    Raises:
        ImportError: Pictures are to be read, and a package is not installed.
    """
    from dynfocus.words.picture_text import require_reader
    from dynfocus.words.reading import is_screen_read

    if subtitles and not is_wanted:
        raise typer.BadParameter("--subtitles is for --scorer text; name it, too")
    if wanted:
        require_reader()
    if wanted is None and is_wanted and not subtitles:
        return is_screen_read(None)
    return bool(wanted)


class Scribe:
    """Read the words of pictures as they come, for the questions and for who watches.

    Args:
        session: What questions are asked of, if it is to know the words.
        tells: Whether each text is printed when it has ended.
        is_json: Print documents in place of lines.
    """

    def __init__(self, session: Session | None, *, tells: bool, is_json: bool) -> None:
        from dynfocus.words import ScreenReader

        self._screen = ScreenReader()
        self._ended: queue.SimpleQueue[TimedText] = queue.SimpleQueue()
        self._session = session
        self._tells = tells
        self._is_json = is_json

    def push(self, picture: NDArray[np.uint8], seconds: float) -> None:
        """Take a picture, in the thread that decodes."""
        ended = self._screen.push(picture, seconds)
        self._note(ended, self._screen.shown(seconds))

    def close(self, seconds: float) -> None:
        """Print the rest, once no picture comes any more."""
        self._note(self._screen.close(seconds), ())
        self.tell()

    def _note(self, ended: Sequence[TimedText], shown: Sequence[TimedText]) -> None:
        if self._session is not None:
            self._session.hear(ended, shown)
        if self._tells:
            for text in ended:
                self._ended.put(text)

    def tell(self) -> None:
        """Print what has ended since."""
        from dynfocus.words.store import to_row

        while not self._ended.empty():
            text = self._ended.get()
            if self._is_json:
                print(to_json(round_floats(to_row(text))), flush=True)
            else:
                print(f"{text.start:.1f}\t{text.source}\t{text.text}", flush=True)
