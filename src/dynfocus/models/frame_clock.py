"""The times of frames that come one after the other, given or counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class FrameClock:
    """Give every frame a time that is not before the one before it.

    Args:
        fps: The rate of frames without times.
    """

    def __init__(self, fps: float) -> None:
        if not 0 < fps < float("inf"):
            raise ValueError(f"fps must be a finite number above 0, got {fps}")
        self.fps = fps
        self.num_frames = 0
        self.first_seconds = 0.0
        self.last_seconds = 0.0
        self._anchor = 0.0
        self._steps = 0

    @property
    def end_seconds(self) -> float:
        """When the last frame ends if it lasts one step."""
        return self.last_seconds + 1 / self.fps if self.num_frames else 0.0

    @property
    def seen_seconds(self) -> float:
        """How long the frames last in all."""
        return self.end_seconds - self.first_seconds

    def advance(
        self,
        num_frames: int,
        pts_seconds: float | Sequence[float] | NDArray[np.float64] | None,
    ) -> NDArray[np.float64]:
        """Take the times of the next frames, or count them.

        Args:
            num_frames: How many frames come.
            pts_seconds: Their times; without, each comes one step after the last.

        Returns:
            Their times, shape ``[num_frames]``. After an error nothing has changed.
        """
        if pts_seconds is None:
            steps = np.arange(self._steps, self._steps + num_frames, dtype=np.float64)
            times = self._anchor + steps / self.fps
            self._steps += num_frames
        else:
            times = self._checked(num_frames, pts_seconds)
            self._anchor, self._steps = float(times[-1]), 1
        if self.num_frames == 0:
            self.first_seconds = float(times[0])
        self.num_frames += num_frames
        self.last_seconds = float(times[-1])
        return times

    def _checked(
        self,
        num_frames: int,
        pts_seconds: float | Sequence[float] | NDArray[np.float64],
    ) -> NDArray[np.float64]:
        times = np.atleast_1d(np.array(pts_seconds, dtype=np.float64))
        if times.shape != (num_frames,):
            raise ValueError(
                f"pts_seconds must have one entry a frame ({num_frames}), got shape "
                f"{list(times.shape)}"
            )
        refused = times[~np.isfinite(times)]
        if len(refused):
            raise ValueError(
                f"pts_seconds must be finite numbers of seconds, got {refused[0]}; leave "
                "frames without a time out"
            )
        before = times[:1] if self.num_frames == 0 else np.array([self.last_seconds])
        earlier = np.concatenate([before, times[:-1]])
        falls = np.flatnonzero(times < earlier)
        if len(falls):
            raise ValueError(
                f"pts_seconds must not fall, got {times[falls[0]]:g} after "
                f"{earlier[falls[0]]:g}; push frames in order of time"
            )
        return times
