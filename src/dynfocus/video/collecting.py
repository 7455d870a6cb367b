"""The frames of a decoding pass: pictures, times, and what became of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynfocus.video.timeline import Timeline


class _FramesAndTimes(NamedTuple):
    """What a caller unpacks."""

    frames: NDArray[np.uint8]
    """Pictures in red, green, blue, shape ``[T, H, W, 3]``."""
    times: NDArray[np.float64]
    """Seconds since the first frame of the video, shape ``[T]``."""


class SampledFrames(_FramesAndTimes):
    """Frames of a video with the times at which they are first shown.

    A pair: ``frames, times = reader.sample(fps=1.0)``.
    """

    damage: str | None = None
    """What could not be decoded, as ``VideoReader.sample`` warned; None if nothing."""
    is_doubtful: NDArray[np.bool_] | None = None
    """Which frames may show damage, shape ``[T]``; None if none does."""


class FrameCollector:
    """Keep the wanted frames of a decoding pass, resized and turned.

    Args:
        timeline: The timeline of the stream.
        indices: Wanted frames, -1 for one that the file does not hold, ``[T]``.
        size: Height and width of the result, as displayed.
        progress: Called with the number of frames kept and of frames wanted.
    """

    def __init__(
        self,
        timeline: Timeline,
        indices: NDArray[np.int64],
        size: tuple[int, int],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.timeline = timeline
        self.indices = indices
        self.size = size
        self._progress = progress
        self._num_reported = 0
        self.frames = np.zeros((len(indices), *size, 3), dtype=np.uint8)
        self.times = np.zeros(len(indices), dtype=np.float64)
        self.is_kept = np.zeros(len(indices), dtype=bool)
        self.is_doubtful = np.zeros(len(indices), dtype=bool)
        self.has_errors = False

    def kept(self) -> SampledFrames:
        """Return the frames that were kept with their times."""
        kept: slice | NDArray[np.bool_] = self.is_kept
        if self.is_kept.all():
            kept = slice(None)
        sampled = SampledFrames(self.frames[kept], self.times[kept])
        if self.is_doubtful.any():
            sampled.is_doubtful = self.is_doubtful[kept]
        return sampled

    def drop_frames(self) -> None:
        """Let go of the pictures; what was kept is still known."""
        self.frames = np.zeros((0, *self.size, 3), dtype=np.uint8)

    def missing(self, *, is_intact: bool) -> list[int]:
        """List the frames still to be decoded, increasing.

        Args:
            is_intact: Only those whose packets are all there.
        """
        wanted = np.unique(self.indices[~self.is_kept & (self.indices >= 0)])
        if is_intact:
            wanted = wanted[self.timeline.is_intact[wanted]]
        return [int(index) for index in wanted]

    def keep(
        self,
        index: int,
        shown_index: int,
        picture: NDArray[np.uint8],
        *,
        is_doubtful: bool,
    ) -> None:
        """Store a picture for every wanted moment that frame ``index`` serves.

        Args:
            index: The frame that the timeline expects.
            shown_index: The frame that the decoder delivered.
            picture: That frame, ``[H, W, 3]``.
            is_doubtful: Whether it may show damage.
        """
        slots = np.flatnonzero(self.indices == index)
        self.frames[slots] = picture
        self.times[slots] = self.timeline.pts_seconds[shown_index]
        self.is_kept[slots] = True
        self.is_doubtful[slots] = is_doubtful

    def forget(self, indices: list[int]) -> None:
        """Give up frames that were kept."""
        slots = np.isin(self.indices, indices)
        self.is_kept[slots] = self.is_doubtful[slots] = False

    def report(self) -> None:
        """Tell of the frames that were kept since the last time."""
        if self._progress is None:
            return
        num_kept = int(self.is_kept.sum())
        for done in range(self._num_reported + 1, num_kept + 1):
            self._progress(done, len(self.indices))
        self._num_reported = max(self._num_reported, num_kept)
