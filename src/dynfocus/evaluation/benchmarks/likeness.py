"""How like the chosen frames are to the key frames, as LV-Haystack measures it.

Letters: C chosen frames, K key frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynfocus.errors import UnreadableVideoError
from dynfocus.evaluation.benchmarks.key_frames import key_times
from dynfocus.video import VideoReader

_NUM_TAPS = 11
_SIGMA = 1.5
_STEADY = (0.01**2, 0.03**2)


def add_likeness(records: Sequence[dict[str, Any]], files: Mapping[str, str]) -> None:
    """Add ``likeness`` to records: the mean over frames of the best SSIM of each.

    Args:
        records: Records; those with ``fine_times`` and key frames get precision, over
            their fine frames, and recall, over the key frames. Others, and those whose
            frames cannot be read, get none.
        files: The file of each video.
    """
    for record in records:
        chosen, true = record.get("fine_times"), key_times(record)
        if not chosen or not true or record["video"] not in files:
            continue
        try:
            reader = VideoReader(files[record["video"]])
            pairs = compare_frames(
                reader.sample(times=chosen).frames, reader.sample(times=true).frames
            )
        except (OSError, ValueError, UnreadableVideoError):
            continue
        record["likeness"] = [float(pairs.max(axis).mean()) for axis in (1, 0)]


def compare_frames(
    chosen: NDArray[np.uint8], true: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Compare frames, ``[C, H, W, 3]``, with others, ``[K, H, W, 3]``, each with each.

    Returns:
        Their SSIM, ``[C, K]``.
    """
    ours, theirs = ([one / 255.0 for one in some] for some in (chosen, true))
    return np.array([[structural_similarity(a, b) for b in theirs] for a in ours])


def structural_similarity(
    one: NDArray[np.float64], other: NDArray[np.float64]
) -> float:
    """Measure SSIM of two pictures with an 11 x 11 Gaussian, over all channels.

    Args:
        one: A picture, ``[H, W, 3]`` from 0 to 1.
        other: Another of the same size.
    """
    low, high = _STEADY
    mean, other_mean = _blur(one), _blur(other)
    spread = _blur(one * one) - mean**2
    other_spread = _blur(other * other) - other_mean**2
    shared = _blur(one * other) - mean * other_mean
    likeness = (2 * mean * other_mean + low) * (2 * shared + high)
    scale = (mean**2 + other_mean**2 + low) * (spread + other_spread + high)
    return float((likeness / scale).mean())


def _blur(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blur with zeros beyond the edges, so that the size stays."""
    reach = _NUM_TAPS // 2
    taps = np.exp(-((np.arange(_NUM_TAPS) - reach) ** 2) / (2 * _SIGMA**2))
    taps = taps / taps.sum()
    for axis in (0, 1):
        size = picture.shape[axis]
        edges = [(reach, reach) if one == axis else (0, 0) for one in range(3)]
        wide = np.moveaxis(np.pad(picture, edges), axis, 0)
        parts = (tap * wide[k : k + size] for k, tap in enumerate(taps))
        picture = np.moveaxis(sum(parts, np.zeros(())), 0, axis)
    return picture
