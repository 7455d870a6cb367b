"""Sampling plans: which moments of a video are wanted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def wanted_times(
    duration: float,
    *,
    fps: float | None = None,
    num_frames: int | None = None,
    times: Sequence[float] | NDArray[np.float64] | None = None,
    max_frames: int | None = None,
) -> NDArray[np.float64]:
    """Turn a sampling plan into moments of the video.

    Args:
        duration: Length of the video in seconds.
        fps: Moments a second, at ``0, 1 / fps, 2 / fps, ...`` below ``duration``.
        num_frames: This many moments, the centres of equal stretches of the video.
        times: The moments themselves, from 0 to ``duration``, in any order.
        max_frames: Upper bound. A rate that gives more is replaced by this many
            uniform moments; for the other two plans exceeding it is an error.

    Returns:
        Moments in seconds, shape ``[T]``. Without a plan: one a second.
    """
    given = [
        name
        for name, value in (("fps", fps), ("num_frames", num_frames), ("times", times))
        if value is not None
    ]
    if len(given) > 1:
        raise ValueError(
            f"Give one of fps, num_frames and times, got {' and '.join(given)}."
        )
    if max_frames is not None:
        check_count("max_frames", max_frames)
    if times is not None:
        return _bounded(_checked_times(times, duration), max_frames)
    if num_frames is not None:
        check_count("num_frames", num_frames)
        return _bounded(_uniform_times(duration, num_frames), max_frames)
    return _rate_times(duration, 1.0 if fps is None else fps, max_frames)


def check_count(name: str, value: int) -> None:
    """Refuse a count that is not a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}.")


def _bounded(
    moments: NDArray[np.float64], max_frames: int | None
) -> NDArray[np.float64]:
    """Refuse more moments than ``max_frames``."""
    if max_frames is not None and len(moments) > max_frames:
        raise ValueError(
            f"{len(moments)} frames are wanted but max_frames is {max_frames}; "
            "ask for fewer or raise max_frames."
        )
    return moments


def _checked_times(
    times: Sequence[float] | NDArray[np.float64], duration: float
) -> NDArray[np.float64]:
    """Check given moments against the length of the video."""
    moments = np.asarray(times, dtype=np.float64)
    if moments.ndim != 1 or len(moments) == 0:
        raise ValueError(
            "times must be a flat list of at least one time in seconds, "
            f"got shape {list(moments.shape)}."
        )
    # A microsecond of slack lets the times of an earlier sample be given back.
    refused = moments[~((moments >= 0) & (moments <= duration + 1e-6))]
    if len(refused):
        raise ValueError(
            f"times must lie between 0 and the video's duration of {duration:.3f} s, "
            f"got {refused[0]:g}."
        )
    return moments


def _uniform_times(duration: float, count: int) -> NDArray[np.float64]:
    """Give the centres of ``count`` equal stretches of the video."""
    return (np.arange(count, dtype=np.float64) + 0.5) * (duration / count)


def _rate_times(
    duration: float, fps: float, max_frames: int | None
) -> NDArray[np.float64]:
    """Give ``0, 1 / fps, ...`` below ``duration``, thinned to ``max_frames``."""
    if isinstance(fps, bool) or not isinstance(fps, int | float | np.number):
        raise ValueError(f"fps must be a number above 0, got {fps!r}.")
    if not 0 < fps < math.inf:
        raise ValueError(f"fps must be a finite number above 0, got {fps}.")
    # The slack keeps rounding from adding a moment that equals the duration.
    count = max(1, math.ceil(duration * fps - 1e-6))
    if max_frames is not None and count > max_frames:
        return _uniform_times(duration, max_frames)
    return np.arange(count, dtype=np.float64) / float(fps)
