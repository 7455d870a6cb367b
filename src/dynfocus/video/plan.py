"""Sampling plans: which moments of a video are wanted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TICKS_PER_SECOND = 1000


def number_frames(
    times: Sequence[float] | NDArray[np.float64], duration: float
) -> dict[str, Any]:
    """Tell the times of frames as their numbers at 1000 a second, so that uneven ones stay true.

    Args:
        times: Times in seconds, increasing.
        duration: Length of the video in seconds.

    Returns:
        What vLLM, and transformers in it, want to know of frames that were sampled.
    """
    ticks = [round(_TICKS_PER_SECOND * float(time)) for time in times]
    return {
        "fps": float(_TICKS_PER_SECOND),
        "frames_indices": ticks,
        "total_num_frames": max(math.ceil(_TICKS_PER_SECOND * duration), ticks[-1] + 1),
        "duration": duration,
        "do_sample_frames": False,
    }


def wanted_times(
    end: float,
    *,
    fps: float | None = None,
    num_frames: int | None = None,
    times: Sequence[float] | NDArray[np.float64] | None = None,
    max_frames: int | None = None,
    start: float = 0.0,
) -> NDArray[np.float64]:
    """Turn a sampling plan into moments of the video.

    Args:
        end: Where the video, or the excerpt of it, ends, in seconds.
        fps: Moments a second, at ``start, start + 1 / fps, ...`` below ``end``.
        num_frames: This many moments, the centres of equal stretches of the video.
        times: The moments themselves, from ``start`` to ``end``, in any order.
        max_frames: Upper bound. A rate that gives more is replaced by this many
            uniform moments; for the other two plans exceeding it is an error.
        start: Where an excerpt begins, in seconds.

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
        return _bounded(_checked_times(times, start, end), max_frames)
    if num_frames is not None:
        check_count("num_frames", num_frames)
        return _bounded(_uniform_times(start, end, num_frames), max_frames)
    return _rate_times(start, end, 1.0 if fps is None else fps, max_frames)


def check_inside(
    start: float, end: float | None, duration: float, declared: float | None = None
) -> None:
    """Refuse an excerpt that lies outside of its video.

    Args:
        start: Where it begins, in seconds.
        end: Where it ends; None for the end of the video.
        duration: Length of the video in seconds.
        declared: Length that a video declares of which the end is missing.

    Raises:
        ValueError: It begins or ends after the video.
    """
    if start >= duration:
        raise ValueError(
            f"start must lie before the end of the video at {duration:.3f} s, got "
            f"{start:g} s."
        )
    last = duration if declared is None else declared
    if end is not None and end > math.ceil(last):  # players round lengths up
        raise ValueError(
            f"end must not lie beyond the end of the video at {last:.3f} s, got {end:g} s."
        )


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
    times: Sequence[float] | NDArray[np.float64], start: float, end: float
) -> NDArray[np.float64]:
    """Check given moments against where the video begins and ends."""
    moments = np.asarray(times, dtype=np.float64)
    if moments.ndim != 1 or len(moments) == 0:
        raise ValueError(
            "times must be a flat list of at least one time in seconds, "
            f"got shape {list(moments.shape)}."
        )
    # A microsecond of slack lets the times of an earlier sample be given back.
    refused = moments[~((moments >= start) & (moments <= end + 1e-6))]
    if len(refused):
        where = f"0 and the video's duration of {end:.3f} s"
        if start > 0:
            where = f"{start:.3f} and {end:.3f} s, where the excerpt is"
        raise ValueError(f"times must lie between {where}, got {refused[0]:g}.")
    return moments


def _uniform_times(start: float, end: float, count: int) -> NDArray[np.float64]:
    """Give the centres of ``count`` equal stretches of the video."""
    centres = np.arange(count, dtype=np.float64) + 0.5
    return start + centres * ((end - start) / count)


def _rate_times(
    start: float, end: float, fps: float, max_frames: int | None
) -> NDArray[np.float64]:
    """Give ``start, start + 1 / fps, ...`` below ``end``, thinned to ``max_frames``."""
    if isinstance(fps, bool) or not isinstance(fps, int | float | np.number):
        raise ValueError(f"fps must be a number above 0, got {fps!r}.")
    if not 0 < fps < math.inf:
        raise ValueError(f"fps must be a finite number above 0, got {fps}.")
    # The slack keeps rounding from adding a moment that equals the end.
    count = max(1, math.ceil((end - start) * fps - 1e-6))
    if max_frames is not None and count > max_frames:
        return _uniform_times(start, end, max_frames)
    return start + np.arange(count, dtype=np.float64) / float(fps)
