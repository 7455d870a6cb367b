"""A decoded frame becomes a picture: resized, in red, green, blue, turned."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from dynfocus.video.orientation import Orientation

# Scaling threads inside one frame only get in the way of decoders side by side.
# PyAV lets them be set from version 17 on.
_OPTIONS = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


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
