"""A decoded frame becomes a picture: resized, in red, green, blue, turned as displayed."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

# Scaling threads inside one frame only get in the way of decoders side by side.
# PyAV lets them be set from version 17 on.
_OPTIONS = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


class Orientation(NamedTuple):
    """A mirroring of the stored picture followed by quarter turns."""

    quarter_turns: int = 0
    """Counter-clockwise turns of 90 degrees, 0 to 3."""
    is_mirrored: bool = False
    """Whether left and right are exchanged before turning."""

    @property
    def swaps_sides(self) -> bool:
        """Tell whether width and height change places."""
        return self.quarter_turns % 2 == 1

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn a stored picture ``[H, W, 3]`` into the displayed one."""
        if self.is_mirrored:
            picture = picture[:, ::-1]
        return np.rot90(picture, self.quarter_turns)


def read_orientation(frame: Any) -> Orientation:
    """Read the orientation of a decoded frame, to the nearest quarter turn.

    FFmpeg's matrix maps a stored point ``(x, y)``, y downwards, to the displayed
    point ``(a x + c y, b x + d y)``; entries 0, 1, 3 and 4 are ``a, b, c, d``.
    """
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return Orientation()
    matrix = np.frombuffer(bytes(side_data), dtype=np.int32)
    if len(matrix) < 9:
        return Orientation()
    a, b, c, d = (int(matrix[k]) for k in (0, 1, 3, 4))
    is_mirrored = a * d - b * c < 0
    if is_mirrored:
        a, b = -a, -b
    # (a, -b) is where the x axis points when y is taken upwards.
    angle = math.atan2(-b, a)
    return Orientation(round(angle / (math.pi / 2)) % 4, is_mirrored)


class FrameScaler:
    """Resize frames inside libswscale, with its tables made once.

    Args:
        size: Height and width of the result, as displayed.
        orientation: How stored pictures are turned.
    """

    def __init__(self, size: tuple[int, int], orientation: Orientation) -> None:
        self._orientation = orientation
        self._size = size[::-1] if orientation.swaps_sides else size
        self._reformatter = VideoReformatter()

    def picture(self, frame: Any) -> NDArray[np.uint8]:
        """Return a decoded frame as ``[H, W, 3]``."""
        height, width = self._size
        is_smaller = height * width < frame.height * frame.width
        picture = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            interpolation="AREA" if is_smaller else "BICUBIC",
            **_OPTIONS,
        )
        pixels: NDArray[np.uint8] = np.asarray(picture.to_ndarray(), dtype=np.uint8)
        return self._orientation.apply(pixels)
