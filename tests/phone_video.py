"""A video as a phone writes it: held upright, with a variable frame rate."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TIMES = (0.0, 0.1, 0.13, 0.5, 0.55, 0.9, 1.7, 1.75, 2.4, 2.45, 2.5, 3.3)
"""When its frames are shown, in seconds."""
SIZE = (128, 96)
"""Its height and width as displayed."""


def draw(number: int) -> np.ndarray:
    """Draw the picture of a frame: red above, blue below, a bar for its number."""
    picture = np.zeros((*SIZE, 3), np.uint8)
    picture[:64, :, 0] = 200
    picture[64:, :, 2] = 200
    picture[:, 8 * number : 8 * number + 8] = 255
    return picture


def number_of(picture: np.ndarray) -> int:
    """Read the number of a frame, of any size, from its bar."""
    columns = picture.astype(float).sum((0, 2))
    return round((columns.argmax() + 0.5) / picture.shape[1] * 12 - 0.5)


def write_phone_video(path: Path) -> Path:
    """Write the video, stored lying on its side."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "10", "bf": "0"}
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        stream.set_display_rotation(-90)
        for number, time in enumerate(TIMES):
            stored = np.ascontiguousarray(np.rot90(draw(number)))
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path
