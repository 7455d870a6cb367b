"""Times of frames that come one by one, and which of them are wanted."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

# Times of frames are ticks made seconds; a frame counts as shown this much early.
_SLACK_SECONDS = 1e-6
# A clock that falls back, or runs ahead by so much, was set anew.
_RESET_SECONDS = 1.0
_JUMP_SECONDS = 3600.0
_NUM_STEPS = 101
# A frame so many steps ahead may have a damaged time.
_ODD_STEPS = 3


class ArrivalClock:
    """Make times that begin at 0 and always grow of those that a source declares.

    A source that is joined from several, or starts again, sets its clock anew: then the
    frames go on one typical step after the last. A frame without a time comes one step
    after the last, too.

    Args:
        nominal_step_seconds: Time between frames until some were seen.
    """

    def __init__(self, nominal_step_seconds: float) -> None:
        self._nominal = nominal_step_seconds
        self._steps: deque[float] = deque(maxlen=_NUM_STEPS)
        self._shift: float | None = None
        self._last: float | None = None

    @property
    def step_seconds(self) -> float:
        """The typical time between frames."""
        return statistics.median(self._steps) if self._steps else self._nominal

    def is_odd(self, declared_seconds: float | None) -> bool:
        """Tell whether a time is far from where the clock stands: damaged, or set anew."""
        if declared_seconds is None or self._last is None or self._shift is None:
            return False
        ahead = declared_seconds + self._shift - self._last
        return not -_RESET_SECONDS < ahead <= _ODD_STEPS * self.step_seconds

    def take(self, declared_seconds: float | None) -> float | None:
        """Tell when a frame is shown.

        Args:
            declared_seconds: Its time by the source's clock, if it has one.

        Returns:
            Seconds since the first frame, or nothing if another frame has this time.
        """
        if self._last is None:
            self._shift = None if declared_seconds is None else -declared_seconds
            self._last = 0.0
            return self._last
        seconds = next_seconds = self._last + self.step_seconds
        if declared_seconds is not None:
            if self._shift is not None:
                seconds = declared_seconds + self._shift
            if not -_RESET_SECONDS < seconds - self._last < _JUMP_SECONDS:
                seconds, self._shift = next_seconds, None
            if self._shift is None:
                self._shift = seconds - declared_seconds
            if seconds <= self._last:
                return None
            self._steps.append(seconds - self._last)
        self._last = seconds
        return seconds


def trusted_times(
    frames: Iterable[Any], clock: ArrivalClock
) -> Iterator[tuple[Any, float | None]]:
    """Take away the time of a frame that leaves the others if the next comes back.

    Args:
        frames: Decoded frames; an odd one waits for the next.
        clock: What the times that are given are told before the next frame is asked for.

    Yields:
        Each frame with the time that it declares, or nothing.
    """
    odd: Any = None
    for frame in frames:
        is_odd = clock.is_odd(frame.time)
        if odd is not None:
            yield odd, odd.time if is_odd else None
            odd, is_odd = None, clock.is_odd(frame.time)
        if is_odd:
            odd = frame
        else:
            yield frame, frame.time
    if odd is not None:
        yield odd, odd.time


class MomentSampler:
    """Count the moments ``0, 1 / fps, 2 / fps, ...`` that fall to each frame.

    Args:
        fps: Moments a second.
    """

    def __init__(self, fps: float) -> None:
        if not 0 < fps < math.inf:
            raise ValueError(f"fps must be a finite number above 0, got {fps}.")
        self.fps = fps
        self._num_given = 0

    def due_before(self, next_seconds: float) -> int:
        """Count the moments at which the next frame is not yet shown."""
        count = self._num_given
        while count / self.fps + _SLACK_SECONDS < next_seconds:
            count += 1
        return self._take(count)

    def due_until(self, end_seconds: float) -> int:
        """Count the moments left before the end of the video, at least the first."""
        return self._take(max(1, math.ceil(end_seconds * self.fps - _SLACK_SECONDS)))

    def _take(self, count: int) -> int:
        due = max(0, count - self._num_given)
        self._num_given += due
        return due
