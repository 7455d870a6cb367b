"""Lines that were read already, known by their picture, so that none is read twice."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from dynfocus.words.picture_text import Reading

_HEIGHT = 16
_MAX_LINES = 800
_WIDTH_RATIO = 0.03
_CELL = 8
_SAME_CELL, _SAME_LINE = 14.0, 4.0  # mean difference in levels of grey


class LineMemory:
    """Remember the last lines that were read; a page that scrolls back costs nothing."""

    def __init__(self) -> None:
        self._lines: deque[tuple[NDArray[np.uint8], Reading]] = deque(maxlen=_MAX_LINES)

    def recall(self, line: NDArray[np.uint8]) -> Reading | None:
        """Give what a line was read as, if its picture is known.

        Args:
            line: Its picture, upright, ``[H, W, 3]``.
        """
        wanted = _signature(line)
        for known, reading in reversed(self._lines):
            wide = max(known.shape[1], wanted.shape[1])
            if abs(
                known.shape[1] - wanted.shape[1]
            ) <= _WIDTH_RATIO * wide and _is_same(known, wanted):
                return reading
        return None

    def keep(self, line: NDArray[np.uint8], reading: Reading) -> None:
        """Remember a line; the oldest is forgotten.

        Args:
            line: Its picture, upright, ``[H, W, 3]``.
            reading: What it says.
        """
        self._lines.append((_signature(line), reading))


def _signature(line: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    width = max(_CELL, round(line.shape[1] * _HEIGHT / line.shape[0]))
    small = cv2.resize(line, (width, _HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def _is_same(known: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> bool:
    import cv2

    if known.shape != wanted.shape:
        known = np.asarray(cv2.resize(known, wanted.shape[::-1]), np.uint8)
    difference = cv2.absdiff(known, wanted).astype(np.float32)
    if float(difference.mean()) > _SAME_LINE:
        return False
    columns = max(1, wanted.shape[1] // _CELL)
    cells = cv2.resize(difference, (columns, 2), interpolation=cv2.INTER_AREA)
    return bool(cells.max() < _SAME_CELL)
