"""Whether a picture differs from the one that was read last, so that it is read again.

Pictures are compared small and grey, in cells of 8 x 8 pixels. Cells that change all the
time and hold no text, such as a film or a face, do not have everything read anew each time;
they are looked at every other second.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WIDTH = 640
_CELL = 8
_MOVED = 8.0  # mean difference of a cell in levels of grey; coding noise is below 3
_RESTLESS = 3  # so many changes in a row
_PATIENCE_SECONDS = 2.0


class ChangeDetector:
    """Tell which pictures of a video are worth reading, in fixed memory."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint8] | None = None
        self._read: NDArray[np.uint8] | None = None
        self._read_seconds = 0.0
        self._streak: NDArray[np.int64] | None = None
        self._has_text: NDArray[np.bool_] | None = None

    def is_due(self, picture: NDArray[np.uint8], seconds: float) -> bool:
        """Tell whether a picture is to be read.

        Args:
            picture: The next picture, ``[H, W, 3]``, all of one size.
            seconds: When it is shown.
        """
        grey = _small_grey(picture)
        last, self._last = self._last, grey
        if last is None or self._read is None or last.shape != grey.shape:
            self._streak = None
            return True
        moved = _differs(grey, last)
        before = np.zeros(moved.shape, int) if self._streak is None else self._streak
        self._streak = np.where(moved, before + 1, 0)
        changed = _differs(grey, self._read)
        if not changed.any():
            return False
        is_restless = self._streak >= _RESTLESS
        if self._has_text is not None:
            is_restless &= ~self._has_text
        is_new = bool((changed & ~is_restless).any())
        return is_new or seconds - self._read_seconds >= _PATIENCE_SECONDS

    def mark_read(
        self, seconds: float, boxes: NDArray[np.float32], size: tuple[int, int]
    ) -> None:
        """Say that the last picture was read.

        Args:
            seconds: When it is shown.
            boxes: Corners of the lines found in it, ``[lines, 4, 2]``.
            size: Its height and width.
        """
        assert self._last is not None  # it was asked about
        self._read, self._read_seconds = self._last, seconds
        rows, columns = _cells(self._last.shape)
        has_text = np.zeros((rows, columns), bool)
        for box in boxes:
            low = box.min(axis=0) / size[::-1] * (columns, rows)
            high = box.max(axis=0) / size[::-1] * (columns, rows)
            left, top = np.maximum(np.floor(low).astype(int) - 1, 0)
            right, bottom = np.ceil(high).astype(int) + 1
            has_text[top:bottom, left:right] = True
        self._has_text = has_text


def _small_grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    height, width = picture.shape[:2]
    scale = min(1.0, _WIDTH / max(height, width))
    size = [max(_CELL, round(side * scale)) for side in (width, height)]
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def _cells(shape: tuple[int, ...]) -> tuple[int, int]:
    return max(1, shape[0] // _CELL), max(1, shape[1] // _CELL)


def _differs(grey: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell which cells differ, ``[rows, columns]``."""
    import cv2

    rows, columns = _cells(grey.shape)
    difference = cv2.absdiff(grey, other).astype(np.float32)
    cells = cv2.resize(difference, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cells > _MOVED)
