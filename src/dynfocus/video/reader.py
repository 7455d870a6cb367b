"""A video file becomes frames, addressed by the time at which they are shown."""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dynfocus.errors import (
    ChangedSizeWarning,
    DamagedVideoWarning,
    UnreadableVideoError,
)
from dynfocus.text import check_excerpt, plural
from dynfocus.video.collecting import FrameCollector, MissingFrames, SampledFrames
from dynfocus.video.confinement import current_confinement
from dynfocus.video.decoder import Crew, DisorderedTimesError, collect_frames
from dynfocus.video.files import VideoName, as_file
from dynfocus.video.plan import check_count, check_inside, wanted_times
from dynfocus.video.seeking import MistrustedIndexError
from dynfocus.video.timeline import Timeline, open_timeline
from dynfocus.video.watchdog import available_cores, check_timeout, work_ahead

_logger = logging.getLogger(__name__)


class VideoReader:
    """Read frames of a video by time.

    Nothing rests on what headers claim: opening a file learns all its packets, from
    the index of an MP4 file, which every later reading checks, or by reading the file
    once. Every frame comes with the time at which the file itself says it is shown.
    Only the stretches that lead to wanted frames are decoded, on all cores, and in them
    no frame that neither a caller nor another frame needs.

    What opening learned is kept, so one reader can be handed on and asked many times,
    by several threads at once too. It holds no file open between calls.

    Example:
        >>> reader = VideoReader("clip.mp4")
        >>> reader.duration, reader.size
        (12.5, (720, 1280))
        >>> frames, times = reader.sample(fps=1.0, size=(224, 224))

    Args:
        path: A video file of any kind that FFmpeg reads, by name, by its address of http or
            https, or as a `RemoteFile` with a policy of its own. The reader stands for
            the version of a remote file that it opened.
        stream: Number of the video stream, as `probe_video` lists them; by default the
            one that a player shows.
        start: Where an excerpt begins: seconds, or a text ``m:ss`` or ``h:mm:ss``. Of an
            excerpt only frames on display from ``start`` on and before ``end`` are
            given; times stay those of the file, the first no earlier than ``start``.
        end: Where the excerpt ends, half-open.
        num_threads: Cores to use; by default all that this process may use.
        timeout_seconds: How long reading or decoding may make no progress at all
            before it is given up; ``None`` waits for ever.

    Raises:
        ValueError: ``num_threads`` or ``timeout_seconds`` is not above 0, or the excerpt
            is empty or lies outside the video.
        FileNotFoundError: There is no such file.
        UnreadableVideoError: The file holds no such stream, or none that can be decoded.
        UnreachableVideoError: An address cannot be read, also raised by ``sample``.
        StuckVideoError: Reading made no progress, also raised by ``sample``.
    """

    def __init__(
        self,
        path: VideoName,
        *,
        stream: int | None = None,
        start: float | str | None = None,
        end: float | str | None = None,
        num_threads: int | None = None,
        timeout_seconds: float | None = 60.0,
    ) -> None:
        self.path = as_file(path)
        self._crew = _checked_crew(num_threads, timeout_seconds)
        self._wanted_stream = stream
        self._timeline = self._open()
        self._told_sizes: set[tuple[int, int]] = set()  # excerpts tell nothing twice
        self._start, self._end = self._checked_excerpt(start, end)

    def excerpt(
        self, start: float | str | None = None, end: float | str | None = None
    ) -> VideoReader:
        """Give a reader of an excerpt of this video, which need not be opened again.

        Args:
            start: As for the class; by default where this reader starts.
            end: As for the class; by default where this reader ends.

        Raises:
            ValueError: The excerpt is empty or lies outside the video.
        """
        start = self._start if start is None else start
        end = self._end if end is None else end
        reader = copy.copy(self)
        reader._start, reader._end = self._checked_excerpt(start, end)
        return reader

    @property
    def timeline(self) -> Timeline:
        """What is known of the packets and frames of the file."""
        return self._timeline

    @property
    def metadata(self) -> dict[str, str]:
        """The file's own notes, such as ``title`` and ``comment``."""
        return dict(self._timeline.facts.metadata)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one that the file holds."""
        return self._timeline.duration

    @property
    def start(self) -> float:
        """Where the excerpt begins, in seconds; 0 for a whole video."""
        return self._start

    @property
    def end(self) -> float:
        """Where the excerpt ends, in seconds; for a whole video its duration."""
        return min(self.duration, math.inf if self._end is None else self._end)

    @property
    def is_excerpt(self) -> bool:
        """Whether frames come from an excerpt of the video alone."""
        return self.start > 0 or self.end < self.duration

    @property
    def part(self) -> dict[str, float]:
        """What is read of the file: ``start`` and ``end`` in seconds, and ``stream``."""
        return {
            "start": round(self.start, 6),
            "end": round(self.end, 6),
            "stream": self._timeline.stream_index,
        }

    @property
    def other_stream(self) -> int | None:
        """Number of the stream, if it is not the one that a player shows."""
        index = self._timeline.stream_index
        return None if index == self._timeline.facts.shown_stream else index

    @property
    def frame_times(self) -> NDArray[np.float64]:
        """When each frame of the excerpt, or of the video, comes on display, ``[F]``."""
        pts = self._timeline.pts_seconds
        first = int(np.searchsorted(pts, self.start + 1e-6, "right")) - 1
        stop = int(np.searchsorted(pts, self.end))
        return np.maximum(pts[max(first, 0) : stop], self.start)

    @property
    def key_times(self) -> NDArray[np.float64]:
        """When frames of the excerpt that need no other come on display, ``[K]``."""
        return self._timeline.pts_seconds[_key_frames(self)]

    @property
    def frame_count(self) -> int:
        """Number of frames that the file shows, counted."""
        return self._timeline.num_frames

    @property
    def fps(self) -> float:
        """Average number of frames a second."""
        return self._timeline.num_frames / self._timeline.duration

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as displayed, that is after rotation."""
        return self._timeline.size

    def plan_times(
        self,
        *,
        fps: float | None = None,
        num_frames: int | None = None,
        times: Sequence[float] | NDArray[np.float64] | None = None,
        max_frames: int | None = None,
    ) -> NDArray[np.float64]:
        """Give the moments at which ``sample`` would take frames, and decode nothing.

        Args:
            fps: As in ``sample``.
            num_frames: As in ``sample``.
            times: As in ``sample``.
            max_frames: As in ``sample``.

        Returns:
            Moments in seconds, shape ``[T]``.

        Raises:
            ValueError: The plan is none, or wants moments outside the video.
        """
        limit = self.end
        if times is not None and self._end is None:
            limit = self._timeline.declared_duration
        return wanted_times(
            limit,
            start=self.start,
            fps=fps,
            num_frames=num_frames,
            times=times,
            max_frames=max_frames,
        )

    def sample(
        self,
        *,
        fps: float | None = None,
        num_frames: int | None = None,
        times: Sequence[float] | NDArray[np.float64] | None = None,
        size: tuple[int, int] | None = None,
        max_frames: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        fast: bool = False,
    ) -> SampledFrames:
        """Decode the frames on display at wanted moments.

        Give at most one of ``fps``, ``num_frames`` and ``times``; without any, one
        frame a second is taken.

        Args:
            fps: Moments a second, from `start` on and below `end`.
            num_frames: This many moments, the centres of equal stretches.
            times: The moments in seconds since the first frame, in any order, from
                `start` up to the end; of a file that is cut off, up to the end that it declares.
            size: Height and width to resize to; by default the displayed size.
            max_frames: At most this many; a rate that gives more is replaced by
                this many uniform moments.
            progress: Called as ``progress(done, total)`` while frames arrive.
            fast: Take the key frame nearest to each moment instead, which needs no
                other frame to be decoded. The times are those of the key frames,
                seconds off where these are far apart; one may serve several moments.

        Returns:
            Each wanted moment's frame, the last one shown at or before it, with its
            own time; frames that cannot be decoded are left out with one warning.

        Raises:
            ValueError: The plan or the size is none, or wants moments outside.
            UnreadableVideoError: None of the wanted frames can be decoded.
            StuckVideoError: Decoding made no progress.
        """
        wanted = self.plan_times(
            fps=fps, num_frames=num_frames, times=times, max_frames=max_frames
        )
        collector = self._collect(wanted, self._size_of(size), progress, fast=fast)
        missing = MissingFrames.of(wanted, collector)
        sampled = collector.kept()
        sampled.damage = self._report(missing, is_given=times is not None)
        self._tell_sizes(sampled)
        return sampled

    def stream(
        self,
        *,
        fps: float | None = None,
        num_frames: int | None = None,
        times: Sequence[float] | NDArray[np.float64] | None = None,
        size: tuple[int, int] | None = None,
        frames_at_a_time: int = 256,
    ) -> Iterator[SampledFrames]:
        """Decode the same frames in order of time, a few at a time.

        So memory does not grow with the video. Each part ends at a key frame if there
        is one in reach; without, its last stretch is decoded again for the next part.
        While a part is used, the next one is decoded.

        Args:
            fps: As in ``sample``.
            num_frames: As in ``sample``.
            times: As in ``sample``.
            size: As in ``sample``.
            frames_at_a_time: Most frames of a part; two parts are in memory.

        Yields:
            Parts that follow one another, none of them empty. What is missing is
            warned of once, after the last part.

        Raises:
            ValueError: As in ``sample``.
            UnreadableVideoError: As in ``sample``.
            StuckVideoError: As in ``sample``.
        """
        check_count("frames_at_a_time", frames_at_a_time)
        wanted = np.sort(self.plan_times(fps=fps, num_frames=num_frames, times=times))
        size, collectors = self._size_of(size), []
        indices = self._timeline.frames_at(wanted)
        decode = partial(self._collect, size=size, progress=None, fast=False)
        parts = list(_divide(self._timeline, indices, frames_at_a_time))
        for collector in work_ahead(decode, [wanted[part] for part in parts]):
            frames = collector.kept()
            if len(frames.times):
                self._tell_sizes(frames)
                yield frames
            collector.drop_frames()
            collectors.append(collector)
        self._report(MissingFrames.of(wanted, *collectors), is_given=times is not None)

    def _checked_excerpt(
        self, start: float | str | None, end: float | str | None
    ) -> tuple[float, float | None]:
        """Refuse an excerpt that is empty or lies outside the video."""
        begin, stop = check_excerpt(start, end)
        try:
            check_inside(begin, stop, self.duration, self._timeline.declared_duration)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error
        return begin, stop

    def _size_of(self, size: tuple[int, int] | None) -> tuple[int, int]:
        """Check a wanted size; by default the displayed one."""
        return self.size if size is None else checked_size(size)

    def _open(
        self, *, trusts_index: bool = True, counts_frames: bool = False
    ) -> Timeline:
        """Learn the packets of the file."""
        confinement = current_confinement()
        learn = open_timeline if confinement is None else confinement.open_timeline
        return learn(
            self.path,
            wanted_stream=self._wanted_stream,
            timeout_seconds=self._crew.timeout_seconds,
            trusts_index=trusts_index,
            counts_frames=counts_frames,
        )

    def _collect(
        self,
        wanted: NDArray[np.float64],
        size: tuple[int, int],
        progress: Callable[[int, int], None] | None,
        *,
        fast: bool,
    ) -> FrameCollector:
        """Decode the frames of wanted moments, in order if the file proves wrong."""
        try:
            collector = self._decode(wanted, size, progress, fast=fast)
            if not (collector.has_errors and self._timeline.is_from_index):
                return collector
            # An index does not tell which packets hold parameter sets.
            self._timeline = self._open(trusts_index=False)
            if not self._timeline.has_rare_setups:
                return collector
        except MistrustedIndexError:
            _logger.info("%s: the index is wrong; reading in order", self.path)
            timeline = self._open(trusts_index=False)
            self._timeline = replace(timeline, is_seekable=False)
        except DisorderedTimesError:
            _logger.info("%s: its times are in no order; counting frames", self.path)
            self._timeline = self._open(counts_frames=True)
        return self._decode(wanted, size, progress, fast=fast)

    def _decode(
        self,
        wanted: NDArray[np.float64],
        size: tuple[int, int],
        progress: Callable[[int, int], None] | None,
        *,
        fast: bool,
    ) -> FrameCollector:
        """Decode the frames of wanted moments, as far as that is possible."""
        timeline = self._timeline
        indices = (
            _nearest_key_frames(self, wanted) if fast else timeline.frames_at(wanted)
        )
        collector = FrameCollector(timeline, indices, size, progress)
        confinement = current_confinement()
        collect = collect_frames if confinement is None else confinement.collect_frames
        collect(self.path, collector, self._crew)
        np.maximum(collector.times, self.start, out=collector.times)
        return collector

    def _report(self, missing: MissingFrames, *, is_given: bool) -> str | None:
        """Warn once about what is missing, or fail if everything is."""
        if not missing.is_kept.any():
            raise UnreadableVideoError(
                f"{self.path}: none of {plural(len(missing.wanted), 'wanted frame')} could be "
                "decoded."
            )
        ends_before = self.end < self.duration
        text = missing.describe(self._timeline, is_given=is_given or ends_before)
        if text is None:
            return None
        damage = f"{self.path.name}: {text}"
        warnings.warn(damage, DamagedVideoWarning, stacklevel=3)
        return damage

    def _tell_sizes(self, sampled: SampledFrames) -> None:
        """Warn, once, of pictures that the file stores in another size than the first."""
        found = {(int(h), int(w)) for h, w in np.unique(sampled.stored_sizes, axis=0)}
        sizes = sorted(self._told_sizes | found)
        if len(sizes) > max(1, len(self._told_sizes)):
            listed = ", ".join(f"{width}x{height}" for height, width in sizes)
            warnings.warn(
                f"{self.path.name}: the size of its pictures changes ({listed}); all are "
                "stretched to one size, so some may look squeezed.",
                ChangedSizeWarning,
                stacklevel=3,
            )
        self._told_sizes |= found


def _divide(
    timeline: Timeline, indices: NDArray[np.int64], limit: int
) -> Iterator[slice]:
    """Divide increasing frames into parts of at most ``limit``, best at key frames."""
    is_fresh = np.ones(len(indices), dtype=bool)
    is_fresh[1:] = timeline.starts[indices[1:]] > timeline.packets[indices[:-1]]
    begin = 0
    while begin < len(indices):
        end = min(begin + limit, len(indices))
        if end < len(indices):
            breaks = np.flatnonzero(is_fresh[begin + 1 : end + 1])
            end = begin + 1 + int(breaks[-1]) if len(breaks) else end
        yield slice(begin, end)
        begin = end


def _key_frames(reader: VideoReader) -> NDArray[np.int64]:
    """Find the frames that need no other; none where the file tells no times."""
    timeline = reader.timeline
    is_key = np.isin(timeline.packets, timeline.key_packets) & timeline.is_intact
    is_key &= timeline.pts_seconds >= reader.start - 1e-6
    is_key &= (timeline.pts_seconds < reader.end) & (not timeline.is_counted)
    return np.flatnonzero(is_key)


def _nearest_key_frames(
    reader: VideoReader, wanted: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Find the key frame nearest to each moment, the earlier of two."""
    timeline, keys = reader.timeline, _key_frames(reader)
    if not len(keys):
        what = "this excerpt" if reader.is_excerpt else "this file"
        raise UnreadableVideoError(
            f"{reader.path}: fast mode needs key frames with times, and {what} has none "
            "that are shown; sample it without fast."
        )
    seconds = timeline.pts_seconds[keys]
    after = np.searchsorted(seconds, wanted).clip(1, max(1, len(keys) - 1))
    after = np.minimum(after, len(keys) - 1)
    before = np.maximum(after - 1, 0)
    is_before = wanted - seconds[before] <= seconds[after] - wanted
    return keys[np.where(is_before, before, after)]


def _checked_crew(num_threads: int | None, timeout_seconds: float | None) -> Crew:
    """Refuse no cores and no time."""
    if num_threads is None:
        num_threads = available_cores()
    if num_threads < 1:
        raise ValueError(
            f"num_threads must be at least 1, or None for all cores, got {num_threads}."
        )
    check_timeout(timeout_seconds)
    return Crew(num_threads, timeout_seconds)


def checked_size(size: tuple[int, int]) -> tuple[int, int]:
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
