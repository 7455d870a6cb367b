"""Text on the screen: read where the picture changes, followed over time.

Three sieves, the cheapest first: a picture like the one read last is not looked at; of
others the lines of text are found; a line whose picture is known is not read again.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynfocus.cache import FOLDER_VARIABLE
from dynfocus.errors import (
    UnreadWordsWarning,
    UnusableEntryError,
    UnusableEntryWarning,
)
from dynfocus.json_lines import JsonLines
from dynfocus.text import plural, sentence
from dynfocus.validation import from_mapping
from dynfocus.video import VideoReader
from dynfocus.words.line_memory import LineMemory
from dynfocus.words.picture_changes import ChangeDetector
from dynfocus.words.picture_text import (
    PictureReader,
    Reading,
    cut_out,
    reader_name,
)
from dynfocus.words.store import WordStore, to_row
from dynfocus.words.timed_text import Box, TimedText
from dynfocus.words.tracks import Line, TextTracks

Progress = Callable[[int, int], None]

RATE = 1.0
"""Pictures a second that are compared."""
LONGEST_SIDE = 1920
"""Larger pictures are made smaller."""

_SEARCH_SIDE = 640
_SMALL_TEXT, _MANY_LINES, _CLOSE_SIDE = 16.0, 12, 960
_LEAST_CONFIDENCE = 0.6
_SHORT, _SHORT_CONFIDENCE = 2, 0.85
_TURNED_CONFIDENCE = 0.85  # below that a line is read upside down as well
_UNREAD_TO_TELL = 3
_BATCH_BYTES = 200_000_000
_NOTE_SECONDS = 20.0
_SCRIPTS = "Latin, Greek, Chinese and Japanese letters"

_logger = logging.getLogger(__name__)


class ScreenReader:
    """Read the text of pictures as they come, in fixed memory.

    Example:
        >>> screen = ScreenReader()
        >>> for picture, seconds in pictures:
        ...     texts += screen.push(picture, seconds)
        >>> texts += screen.close(end)

    Args:
        num_threads: Cores to use; by default all that this process may use.

    Attributes:
        num_read: Pictures whose text was looked for.
        num_lines: Lines that were read, known ones not counted.
        num_unread: Lines that look like text and could not be read.

    Raises:
        ImportError: The packages that read pictures are not installed.
    """

    def __init__(self, num_threads: int | None = None) -> None:
        self._reader = PictureReader(num_threads)
        self._changes = ChangeDetector()
        self._memory = LineMemory()
        self._tracks = TextTracks()
        self.num_read = self.num_lines = self.num_unread = 0

    def push(self, picture: NDArray[np.uint8], seconds: float) -> list[TimedText]:
        """Take the next picture.

        Args:
            picture: Red, green and blue, ``[H, W, 3]``.
            seconds: When it is shown, not before the one before.

        Returns:
            Texts that are no longer shown.
        """
        if not self._changes.is_due(picture, seconds):
            return self._tracks.wait(seconds)
        self.num_read += 1
        boxes = self._find(picture)
        self._changes.mark_read(seconds, boxes, picture.shape[:2])
        return self._tracks.update(seconds, self._lines(picture, boxes))

    def close(self, seconds: float) -> list[TimedText]:
        """End what is still shown.

        Args:
            seconds: Where the video ends.
        """
        return self._tracks.close(seconds)

    def shown(self, seconds: float) -> list[TimedText]:
        """Give the texts that are still shown, as far as they were read.

        Args:
            seconds: How far the video has come.
        """
        return self._tracks.shown(seconds)

    def state(self) -> list[dict[str, Any]]:
        """Give what is on the screen, for `resume` of another reader."""
        return self._tracks.state()

    def resume(self, state: Sequence[dict[str, Any]]) -> None:
        """Go on where another reader was.

        Args:
            state: What `state` gave.
        """
        self._tracks.resume(state)

    def _find(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Find lines, and look closer where they are small and many."""
        boxes = self._reader.find(picture, _SEARCH_SIDE)
        longer = max(picture.shape[:2])
        if longer <= _SEARCH_SIDE or not len(boxes):
            return boxes
        heights = np.minimum(
            np.linalg.norm(boxes[:, 0] - boxes[:, 3], axis=1),
            np.linalg.norm(boxes[:, 0] - boxes[:, 1], axis=1),
        )
        is_small = float(np.median(heights)) * _SEARCH_SIDE / longer < _SMALL_TEXT
        if is_small and len(boxes) >= _MANY_LINES:
            return self._reader.find(picture, _CLOSE_SIDE)
        return boxes

    def _lines(
        self, picture: NDArray[np.uint8], boxes: NDArray[np.float32]
    ) -> list[Line]:
        """Read the lines in boxes; those that say nothing are left out."""
        cut = [
            (box, part) for box in boxes if (part := cut_out(picture, box)) is not None
        ]
        known = [self._memory.recall(part) for _, part in cut]
        new = [
            part for (_, part), reading in zip(cut, known, strict=True) if not reading
        ]
        read = iter(self._read(new))
        lines = []
        for (box, _), reading in zip(cut, known, strict=True):
            text, confidence = reading or next(read)
            if _says_something(text, confidence):
                lines.append(Line(text, confidence, _fractions(box, picture.shape)))
        return lines

    def _read(self, parts: Sequence[NDArray[np.uint8]]) -> list[Reading]:
        """Read new lines, doubtful ones also upside down, and remember them."""
        readings = self._reader.read(parts)
        self.num_lines += len(parts)
        doubtful = [
            n for n, one in enumerate(readings) if one.confidence < _TURNED_CONFIDENCE
        ]
        turned = [np.ascontiguousarray(np.rot90(parts[n], 2)) for n in doubtful]
        for number, other in zip(doubtful, self._reader.read(turned), strict=True):
            readings[number] = max(readings[number], other, key=lambda r: r.confidence)
        for part, reading in zip(parts, readings, strict=True):
            self._memory.keep(part, reading)
            is_word = reading.text and part.shape[1] > 2 * part.shape[0]
            self.num_unread += bool(is_word) and reading.confidence < _LEAST_CONFIDENCE
        return readings


def read_screen(
    video: VideoReader,
    store: WordStore,
    progress: Progress | None = None,
    on_read: Callable[[VideoReader], None] | None = None,
) -> list[TimedText]:
    """Read the text in the pictures of a whole video, once: what was read is kept.

    A reading that was stopped goes on where it was.

    Args:
        video: The video.
        store: Where readings are kept.
        progress: Called with the seconds that were read and those in all.
        on_read: Called before pictures are read, and not where that was done before.

    Returns:
        Texts by their start.

    Raises:
        UnreadableVideoError: Nothing of the video can be decoded.
    """
    reader = f"{reader_name()}, rules 2, {RATE:g} a second, stream {video.other_stream}"
    try:
        path = store.path(video.path, reader)
    except UnusableEntryError as error:
        _logger.info("what is read is not kept: %s", error)
        if on_read is not None:
            on_read(video)
        return sorted(_read_all(video, None, progress), key=_place)
    texts = store.load(path)
    if texts is None:
        if on_read is not None:
            on_read(video)
        with store.gathering(path, reader) as notes:
            texts = sorted(_read_all(video, notes, progress), key=_place)
        _keep(store, path, texts, reader)
    return texts


def _keep(
    store: WordStore, path: Path, texts: Sequence[TimedText], reader: str
) -> None:
    """Keep a reading, or say that it cannot be kept."""
    try:
        store.save(path, texts, reader)
    except OSError as error:
        warnings.warn(
            f"what was read cannot be kept in {store.folder} ({sentence(error)}), so it is "
            f"read again next time; set {FOLDER_VARIABLE} to another folder",
            UnusableEntryWarning,
            stacklevel=4,
        )


def _place(text: TimedText) -> tuple[float, float, float]:
    box = text.box or (0.0, 0.0, 0.0, 0.0)
    return text.start, box[1], box[0]


def _read_all(
    video: VideoReader, notes: JsonLines | None, progress: Progress | None
) -> list[TimedText]:
    """Read all pictures, from where an earlier reading stopped on."""
    if video.is_excerpt:
        video = VideoReader(video.path, stream=video.timeline.stream_index)
    screen, texts, start = ScreenReader(), list[TimedText](), 0.0
    for note in notes.records if notes is not None else ():
        texts += [from_mapping(TimedText, row) for row in note["texts"]]
        start = note["until"]
    if notes is not None and notes.records:
        screen.resume(notes.records[-1]["open"])
    noted, noted_at = len(texts), time.monotonic()
    for picture, seconds, moment in _pictures(video, start):
        texts += screen.push(picture, seconds)
        if progress is not None:
            progress(round(moment), math.ceil(video.duration))
        if notes is not None and time.monotonic() - noted_at > _NOTE_SECONDS:
            new = [to_row(one) for one in texts[noted:]]
            until = moment + 1 / RATE
            notes.append({"until": until, "texts": new, "open": screen.state()})
            noted, noted_at = len(texts), time.monotonic()
    texts += screen.close(video.duration)
    _tell_unread(video, screen)
    return texts


def _pictures(
    video: VideoReader, start: float
) -> Iterator[tuple[NDArray[np.uint8], float, float]]:
    """Decode pictures with their time and the moment they stand for."""
    moments = np.arange(start, video.duration, 1 / RATE)
    if not len(moments):
        return
    scale = min(1.0, LONGEST_SIDE / max(video.size))
    height, width = (max(1, round(side * scale)) for side in video.size)
    at_a_time = int(np.clip(_BATCH_BYTES // (3 * height * width), 8, 64))
    for part in video.stream(
        times=moments, size=(height, width), frames_at_a_time=at_a_time
    ):
        for picture, seconds in zip(part.frames, part.times, strict=True):
            yield picture, float(seconds), max(float(seconds), start)


def _tell_unread(video: VideoReader, screen: ScreenReader) -> None:
    """Say that there is text that was not read."""
    if screen.num_unread < _UNREAD_TO_TELL:
        return
    warnings.warn(
        f"{video.path}: {plural(screen.num_unread, 'line')} in its pictures look like text "
        f"and were not read: blurred, mirrored, or in another script than {_SCRIPTS}",
        UnreadWordsWarning,
        stacklevel=4,
    )


def _says_something(text: str, confidence: float) -> bool:
    least = _SHORT_CONFIDENCE if len(text) <= _SHORT else _LEAST_CONFIDENCE
    return confidence >= least and any(one.isalnum() for one in text)


def _fractions(box: NDArray[np.float32], shape: tuple[int, ...]) -> Box:
    """Give the upright box around a line, as fractions of the picture."""
    size = np.array([shape[1], shape[0]], np.float64)
    low, high = box.min(axis=0) / size, box.max(axis=0) / size
    left, top, right, bottom = (round(float(x), 4) for x in (*low, *high))
    return left, top, min(right, 1.0), min(bottom, 1.0)
