"""A video file becomes frames, addressed by the time at which they are shown."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynfocus.video.decoder import FrameCollector, collect_frames
from dynfocus.video.errors import DamagedVideoWarning, UnreadableVideoError
from dynfocus.video.plan import wanted_times
from dynfocus.video.timeline import Timeline, read_timeline

# Times of frames are ticks made seconds; a frame counts as shown this much early.
_SLACK_SECONDS = 1e-6


class SampledFrames(NamedTuple):
    """Frames of a video with the times at which they are first shown."""

    frames: NDArray[np.uint8]
    """Pictures in red, green, blue, shape ``[T, H, W, 3]``."""
    times: NDArray[np.float64]
    """Seconds since the first frame of the video, shape ``[T]``."""


class VideoReader:
    """Read frames of a video by time.

    Nothing rests on what headers claim: opening a file reads all its packets, and
    every frame comes with the time at which the file itself says it is shown. Only
    the stretches that lead to wanted frames are decoded.

    Example:
        >>> reader = VideoReader("clip.mp4")
        >>> reader.duration, reader.size
        (12.5, (720, 1280))
        >>> frames, times = reader.sample(fps=1.0, size=(224, 224))

    Args:
        path: A video file of any kind that FFmpeg reads.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableVideoError: The file holds no video that can be decoded.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._timeline: Timeline = read_timeline(self.path)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last; the video's alone."""
        return self._timeline.duration

    @property
    def frame_count(self) -> int:
        """Number of frames that the file shows, counted."""
        return self._timeline.num_frames

    @property
    def fps(self) -> float:
        """Average number of frames a second."""
        return self._timeline.num_frames / self._timeline.decoded_seconds

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as displayed, that is after rotation."""
        return self._timeline.size

    def sample(
        self,
        *,
        fps: float | None = None,
        num_frames: int | None = None,
        times: Sequence[float] | NDArray[np.float64] | None = None,
        size: tuple[int, int] | None = None,
        max_frames: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> SampledFrames:
        """Decode the frames on display at wanted moments.

        Give at most one of ``fps``, ``num_frames`` and ``times``; without any, one
        frame a second is taken.

        Args:
            fps: Moments a second, from 0 on and below the duration.
            num_frames: This many moments, the centres of equal stretches.
            times: The moments in seconds since the first frame, in any order.
            size: Height and width to resize to; by default the displayed size.
            max_frames: At most this many; a rate that gives more is replaced by
                this many uniform moments.
            progress: Called as ``progress(done, total)`` while frames arrive.

        Returns:
            Each wanted moment's frame, the last one shown at or before it, with its
            own time; frames that cannot be decoded are left out with one warning.
        """
        timeline = self._timeline
        wanted = wanted_times(
            self.duration,
            fps=fps,
            num_frames=num_frames,
            times=times,
            max_frames=max_frames,
        )
        size = self.size if size is None else _checked_size(size)
        indices = np.searchsorted(
            timeline.pts_seconds, wanted + _SLACK_SECONDS, "right"
        )
        indices = np.maximum(indices - 1, 0)
        is_held = wanted < timeline.shown_until[indices]
        indices[~(is_held & timeline.is_intact[indices])] = -1
        collector = FrameCollector(timeline, indices, size, progress)
        collect_frames(self.path, collector)
        self._report(wanted, collector, is_given=times is not None)
        kept = collector.is_kept
        if kept.all():
            return SampledFrames(collector.frames, collector.times)
        return SampledFrames(collector.frames[kept], collector.times[kept])

    def _report(
        self, wanted: NDArray[np.float64], collector: FrameCollector, *, is_given: bool
    ) -> None:
        """Warn once about what is missing, or fail if everything is."""
        lost = wanted[~collector.is_kept]
        timeline = self._timeline
        if len(lost) == len(wanted):
            raise UnreadableVideoError(
                f"{self.path}: none of the {len(wanted)} wanted frames could be decoded."
            )
        is_cut = timeline.is_cut and (
            not is_given or bool((lost >= timeline.decoded_seconds).any())
        )
        is_uncertain = timeline.is_counted and collector.has_errors
        if not (len(lost) or is_cut or is_uncertain or collector.num_damaged):
            return
        parts = _missing_parts(wanted, collector.is_kept, timeline)
        if is_cut and self.duration > timeline.decoded_seconds:
            parts.append(f"after {timeline.decoded_seconds:.1f} s")
        text = f"{len(wanted) - len(lost)} of {len(wanted)} wanted frames were kept"
        if parts:
            places = f"{_listed(parts)} of {self.duration:.1f} s"
            text = f"frames {places} could not be decoded; {text}"
        if is_cut and self.duration == timeline.decoded_seconds:
            text = f"the file breaks off after {self.duration:.1f} s; {text}"
        if collector.num_damaged:
            text += f", {collector.num_damaged} of them may show damage"
        if is_uncertain:
            text += ", with times that may be early after the damaged place"
        warnings.warn(f"{self.path.name}: {text}.", DamagedVideoWarning, stacklevel=3)


def _missing_parts(
    wanted: NDArray[np.float64], is_kept: NDArray[np.bool_], timeline: Timeline
) -> list[str]:
    """Name the stretches before the end of the file whose frames are missing."""
    order = np.argsort(wanted, kind="stable")
    order = order[wanted[order] < timeline.decoded_seconds]
    moments, lost = wanted[order], ~is_kept[order]
    bounds = np.flatnonzero(np.diff(np.concatenate([[0], lost.view(np.int8), [0]])))
    stretches = bounds.reshape(-1, 2)  # [stretches, 2], half-open
    parts = [
        f"at {moments[a]:.1f} s"
        if b - a == 1
        else f"from {moments[a]:.1f} s to {moments[b - 1]:.1f} s"
        for a, b in stretches[:3]
    ]
    if len(stretches) > 3:
        parts.append(f"in {len(stretches) - 3} more stretches")
    return parts


def _listed(parts: list[str]) -> str:
    """Join parts as in a sentence."""
    return " and ".join([*filter(None, [", ".join(parts[:-1])]), parts[-1]])


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    """Refuse a size that is not two whole numbers above 0."""
    try:
        height, width = (int(side) for side in size)
    except (TypeError, ValueError):
        height = width = 0
    if not (0 < height <= 32768 and 0 < width <= 32768) or (height, width) != tuple(
        size
    ):
        raise ValueError(
            "size must be a height and a width, whole numbers from 1 to 32768, "
            f"got {size!r}."
        )
    return height, width
