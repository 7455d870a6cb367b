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
    small = [_shrink(frame[top:bottom, left:right]) for frame in frames]
    pixels = np.stack(small).transpose(3, 0, 1, 2).astype(np.float32, order="C")
    red, green, blue = pixels
    bright = 0.299 * red + 0.587 * green + 0.114 * blue  # [T, S, S]
    across, down = np.diff(bright, axis=2)[:, :-1], np.diff(bright, axis=1)[..., :-1]
    steep = np.log2(1 + np.sqrt(across * across + down * down))
    parts = (
        _shares_in_plane((blue - bright) / 1.772, (red - bright) / 1.402),
        _shares(bright / 256 * (_BRIGHT_BINS - 1), _BRIGHT_BINS),
        _shares(steep / 8 * (_EDGE_BINS - 1), _EDGE_BINS),
        _waves(bright),
    )
    return np.sqrt(np.concatenate(parts, axis=1))


def _shrink(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(np.ascontiguousarray(frame))
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _inside_borders(frames: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Find what black borders leave, as Pillow has a box."""
    red, green, blue = (frames[..., channel] for channel in range(3))
    is_lit = np.maximum(np.maximum(red, green), blue) > _BLACK  # [T, H, W]
    box = []
    for axis in (1, 2):
        counts = np.count_nonzero(is_lit, axis=3 - axis).max(0)  # [H] or [W]
        lit = np.flatnonzero(counts > 0.1 * frames.shape[3 - axis])
        size = frames.shape[axis]
        if len(lit) == 0 or lit[-1] + 1 - lit[0] < size / 5:
            return 0, 0, frames.shape[2], frames.shape[1]
        cut = 1 if lit[-1] + 1 - lit[0] < size else 0  # a blurred edge
        low = lit[0] + (cut if lit[0] else 0)
        high = lit[-1] + 1 - (cut if lit[-1] + 1 < size else 0)
        box.append((int(low), int(high)))
    (top, bottom), (left, right) = box
    return left, top, right, bottom


def _shares(places: NDArray[Any], num_bins: int) -> NDArray[np.float64]:
    """Share numbers from 0 to ``num_bins - 1`` out among the two bins next to each."""
    low, rest = _split(places, num_bins)
    found = _count(low, 1 - rest, num_bins) + _count(low + 1, rest, num_bins)
    return found / low.shape[1]


def _shares_in_plane(blue: NDArray[Any], red: NDArray[Any]) -> NDArray[np.float64]:
    """Share colours out among bins that are narrow near grey."""
    middle = (_CHROMA_BINS - 1) / 2
    (row, down), (column, right) = (
        _split(
            np.sign(values) * np.sqrt(np.abs(values) / 128) * middle + middle,
            _CHROMA_BINS,
        )
        for values in (blue, red)
    )
    place = row * _CHROMA_BINS + column
    corners = (
        (place, (1 - down) * (1 - right)),
        (place + 1, (1 - down) * right),
        (place + _CHROMA_BINS, down * (1 - right)),
        (place + _CHROMA_BINS + 1, down * right),
    )
    counts = [_count(where, weights, _CHROMA_BINS**2) for where, weights in corners]
    return np.sum(counts, axis=0) / place.shape[1]


def _split(
    places: NDArray[Any], num_bins: int
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Give the bin below each number and how far it is above that, ``[T, S * S]``."""
    flat = places.reshape(len(places), -1).clip(0, num_bins - 1.001)
    low = flat.astype(np.int64)
    return low, flat - low


def _count(
    bins: NDArray[np.int64], weights: NDArray[Any], num_bins: int
) -> NDArray[np.float64]:
    """Add the weights that fall into each bin, ``[T, num_bins]``."""
    shifted = bins + num_bins * np.arange(len(bins))[:, None]
    found = np.bincount(shifted.ravel(), weights.ravel(), len(bins) * num_bins)
    return found.reshape(len(bins), num_bins).astype(np.float64, copy=False)


def _waves(bright: NDArray[Any]) -> NDArray[np.float64]:
    """Share the power of brightness out among frequencies, two to a bin each way."""
    waves = np.fft.rfft2(bright - bright.mean((1, 2), keepdims=True))
    power = waves.real**2 + waves.imag**2
    folded = power[:, : SIDE // 2].copy()
    folded[:, 1:] += power[:, : SIDE // 2 : -1]  # a wave and its mirror image
    fine = folded[:, : 2 * _WAVE_BINS, : 2 * _WAVE_BINS]
    coarse = fine.reshape(-1, _WAVE_BINS, 2, _WAVE_BINS, 2).sum((2, 4))
    whole = power.sum((1, 2))[:, None] + SIDE**2
    return coarse.reshape(len(bright), -1) / whole


@lru_cache(maxsize=1)
def _weights() -> dict[str, NDArray[np.float64]]:
    stored = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return {name: np.array(stored[name]) for name in ("weights", "bias")}
