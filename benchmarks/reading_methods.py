"""Ways to read frames at wanted times, each as its users are told to do it.

Every function takes a path, the wanted frames as seconds ``[T]`` and as numbers ``[T]``, and
the number of cores; it returns the frames at 224 x 224, ``[T, 224, 224, 3]`` uint8, with the
times it reports or ``None``.
Imports stand inside, so that each is measured with nothing else in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE = 224


class Wanted(NamedTuple):
    """Frames to read, increasing."""

    seconds: NDArray[np.float64]
    """Moments at which they are on display, ``[T]``."""
    numbers: list[int]
    """Their numbers, counted from the first frame shown."""


Frames = tuple[NDArray[np.uint8], NDArray[np.float64] | None]


def dynfocus_exact(path: str, wanted: Wanted, cores: int) -> Frames:
    """``VideoReader.sample``."""
    from dynfocus.video import VideoReader

    reader = VideoReader(path, num_threads=cores)
    return tuple(reader.sample(times=wanted.seconds, size=(SIDE, SIDE)))


def dynfocus_fast(path: str, wanted: Wanted, cores: int) -> Frames:
    """``VideoReader.sample`` with ``fast``: key frames only, with their own times."""
    from dynfocus.video import VideoReader

    reader = VideoReader(path, num_threads=cores)
    return tuple(reader.sample(times=wanted.seconds, size=(SIDE, SIDE), fast=True))


def opencv_seek(path: str, wanted: Wanted, cores: int) -> Frames:
    """Set the position before each frame."""
    import cv2

    cv2.setNumThreads(cores)
    film = cv2.VideoCapture(path)
    frames = []
    for number in wanted.numbers:
        film.set(cv2.CAP_PROP_POS_FRAMES, number)
        frames.append(_opencv_picture(film.read()[1]))
    return np.stack(frames), None


def opencv_grab(path: str, wanted: Wanted, cores: int) -> Frames:
    """Grab every frame and retrieve the wanted ones."""
    import cv2

    cv2.setNumThreads(cores)
    film = cv2.VideoCapture(path)
    numbers = wanted.numbers
    chosen, frames = set(numbers), []
    for number in range(numbers[-1] + 1):
        film.grab()
        if number in chosen:
            frames.append(_opencv_picture(film.retrieve()[1]))
    return np.stack(frames), None


def torchcodec_exact(path: str, wanted: Wanted, cores: int) -> Frames:
    """``seek_mode="exact"``, resized while decoding."""
    return _torchcodec(path, wanted, cores, "exact")


def torchcodec_approximate(path: str, wanted: Wanted, cores: int) -> Frames:
    """``seek_mode="approximate"``, resized while decoding."""
    return _torchcodec(path, wanted, cores, "approximate")


def decord_batch(path: str, wanted: Wanted, cores: int) -> Frames:
    """``get_batch`` of a reader that resizes."""
    import decord

    reader = decord.VideoReader(path, width=SIDE, height=SIDE, num_threads=cores)
    return reader.get_batch(wanted.numbers).asnumpy(), None


def pyav_naive(path: str, wanted: Wanted, cores: int) -> Frames:
    """Decode from the beginning and keep the wanted frames, with PyAV's defaults."""
    import av

    numbers = wanted.numbers
    chosen, frames = set(numbers), []
    with av.open(path) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in chosen:
                frames.append(np.asarray(frame.to_image().resize((SIDE, SIDE))))
            if number == numbers[-1]:
                break
    return np.stack(frames), None


def _torchcodec(path: str, wanted: Wanted, cores: int, mode: Any) -> Frames:
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    decoder = VideoDecoder(
        path,
        dimension_order="NHWC",
        num_ffmpeg_threads=cores,
        seek_mode=mode,
        transforms=[Resize((SIDE, SIDE))],
    )
    # Its clock is the file's, which need not begin at 0.
    start = decoder.metadata.begin_stream_seconds or 0.0
    seconds = wanted.seconds + start + 1e-6
    batch = decoder.get_frames_played_at(seconds=seconds.tolist())
    return batch.data.numpy(), batch.pts_seconds.numpy() - start


def _opencv_picture(frame: Any) -> NDArray[np.uint8]:
    import cv2

    small = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)


SPARSE: dict[str, Callable[..., Frames]] = {
    "dynfocus": dynfocus_exact,
    "OpenCV, seek": opencv_seek,
    "torchcodec, approximate": torchcodec_approximate,
    "torchcodec, exact": torchcodec_exact,
    "decord": decord_batch,
    "PyAV, naive": pyav_naive,
    "dynfocus, fast": dynfocus_fast,
}
DENSE = {**SPARSE, "OpenCV, grab": opencv_grab}
# A seek for every frame takes minutes where frames are close.
del DENSE["OpenCV, seek"]
