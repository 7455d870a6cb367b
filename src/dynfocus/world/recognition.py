"""Tell by its pictures whether a video is FocusWorld: the one place that decides it.

A frame is described by shares of its colours, by how its brightness repeats and by how
steep its edges are. A linear model with a class a room, and one for whatever is not
FocusWorld, weighs these; a video is as likely as its frames are on average.
``benchmarks/recognition.py`` makes the weights and measures them.

Letters: T frames, H and W of a frame, S side of a frame as it is compared, D numbers
that describe it, K classes.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WEIGHTS = Path(__file__).parent.parent / "assets" / "focusworld.json"
"""The weights; the first class is whatever is not FocusWorld."""
NUM_LOOKED_AT = 8
"""At most so many frames of a video are looked at, spread evenly."""
SIDE = 64
_BLACK = 12
_MOST = 4.0
_CHROMA_BINS, _BRIGHT_BINS, _EDGE_BINS, _WAVE_BINS = 9, 9, 6, 8


class Frames(Protocol):
    """Frames ``[T, H, W, 3]`` of uint8: an array, or pictures that an index holds."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: NDArray[np.int64], /) -> NDArray[np.uint8]: ...


def is_world(frames: Frames) -> bool:
    """Tell whether a video is FocusWorld from at most eight of its frames.

    Args:
        frames: Frames of the video in time order, ``[T, H, W, 3]``, in any size.

    Returns:
        Whether that is more likely than not.

    Raises:
        ValueError: There is no frame.
    """
    num_frames = len(frames)
    num_looked_at = min(NUM_LOOKED_AT, num_frames)
    middles = (
        (2 * np.arange(num_looked_at) + 1) * num_frames // (2 * max(1, num_looked_at))
    )
    return recognise(frames[middles]) > 0.5


def recognise(frames: NDArray[np.uint8]) -> float:
    """Tell how likely the frames of a video are FocusWorld.

    Args:
        frames: Frames of one video in any size, ``[T, H, W, 3]``; a few dozen pixels a
            side are enough. Black borders count for nothing.

    Returns:
        A probability.

    Raises:
        ValueError: There is no frame.
    """
    if not len(frames):
        raise ValueError("there must be at least one frame, got none")
    model = _weights()
    logits = describe(frames) @ model["weights"] + model["bias"]  # [T, K]
    inside = np.logaddexp.reduce(logits[:, 1:], axis=1) - logits[:, 0]
    return float(1 / (1 + np.exp(-inside.clip(-_MOST, _MOST).mean())))


def describe(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Describe each frame in a few numbers.

    Args:
        frames: Frames of one video, ``[T, H, W, 3]``.

    Returns:
        Square roots of shares, ``[T, D]``.
    """
    left, top, right, bottom = _inside_borders(frames)
    return np.stack([_describe(frame[top:bottom, left:right]) for frame in frames])


def _inside_borders(frames: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Find what black borders leave, as Pillow has a box."""
    is_lit = frames.max(3) > _BLACK
    box = []
    for axis in (1, 2):
        shares = is_lit.mean(3 - axis).max(0)  # [H] or [W]
        lit = np.flatnonzero(shares > 0.1)
        size = frames.shape[axis]
        if len(lit) == 0 or lit[-1] + 1 - lit[0] < size / 5:
            return 0, 0, frames.shape[2], frames.shape[1]
        cut = 1 if lit[-1] + 1 - lit[0] < size else 0  # a blurred edge
        low = lit[0] + (cut if lit[0] else 0)
        high = lit[-1] + 1 - (cut if lit[-1] + 1 < size else 0)
        box.append((int(low), int(high)))
    (top, bottom), (left, right) = box
    return left, top, right, bottom


def _describe(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    small = Image.fromarray(np.ascontiguousarray(frame)).resize(
        (SIDE, SIDE), Image.Resampling.BILINEAR
    )
    red, green, blue = np.moveaxis(np.asarray(small, np.float32), 2, 0)
    bright = 0.299 * red + 0.587 * green + 0.114 * blue
    across, down = np.diff(bright, axis=1)[:-1], np.diff(bright, axis=0)[:, :-1]
    steep = np.log2(1 + np.hypot(across, down))
    chroma = _shares_in_plane((blue - bright) / 1.772, (red - bright) / 1.402)
    parts = (
        chroma,
        _shares(bright / 256 * (_BRIGHT_BINS - 1), _BRIGHT_BINS),
        _shares(steep / 8 * (_EDGE_BINS - 1), _EDGE_BINS),
        _waves(bright),
    )
    return np.sqrt(np.concatenate(parts))


def _shares(places: NDArray[Any], num_bins: int) -> NDArray[np.float64]:
    """Share numbers from 0 to ``num_bins - 1`` out among the two bins next to each."""
    places = places.ravel().clip(0, num_bins - 1.001)
    low = places.astype(np.int64)
    rest = places - low
    found = np.bincount(low, 1 - rest, num_bins) + np.bincount(low + 1, rest, num_bins)
    return found / len(places)


def _shares_in_plane(blue: NDArray[Any], red: NDArray[Any]) -> NDArray[np.float64]:
    """Share colours out among bins that are narrow near grey."""
    middle = (_CHROMA_BINS - 1) / 2
    axes = []
    for values in (blue, red):
        bent = np.sign(values) * np.sqrt(np.abs(values) / 128) * middle + middle
        axes.append(bent.ravel().clip(0, _CHROMA_BINS - 1.001))
    low = [axis.astype(np.int64) for axis in axes]
    rest = [axis - whole for axis, whole in zip(axes, low, strict=True)]
    found = np.zeros(_CHROMA_BINS**2)
    for i in (0, 1):
        for j in (0, 1):
            weights = np.abs(1 - i - rest[0]) * np.abs(1 - j - rest[1])
            place = (low[0] + i) * _CHROMA_BINS + low[1] + j
            found += np.bincount(place, weights, _CHROMA_BINS**2)
    return found / len(axes[0])


def _waves(bright: NDArray[Any]) -> NDArray[np.float64]:
    """Share the power of brightness out among frequencies, two to a bin each way."""
    power = np.abs(np.fft.rfft2(bright - bright.mean())) ** 2
    rows = np.minimum(np.arange(SIDE), SIDE - np.arange(SIDE))
    fine = 2 * _WAVE_BINS
    folded = np.zeros((fine, fine))
    np.add.at(folded, rows[rows < fine], power[rows < fine, :fine])
    coarse = folded.reshape(_WAVE_BINS, 2, _WAVE_BINS, 2).sum((1, 3)).ravel()
    return coarse / (power.sum() + SIDE**2)


@lru_cache(maxsize=1)
def _weights() -> dict[str, NDArray[np.float64]]:
    stored = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return {name: np.array(stored[name]) for name in ("weights", "bias")}
