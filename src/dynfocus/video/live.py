"""Read a video that is still coming: a pipe, a camera, a stream on the network."""

from __future__ import annotations

import errno
import logging
import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import av
import numpy as np
from numpy.typing import NDArray

from dynfocus.errors import (
    DamagedVideoWarning,
    StuckVideoError,
    UnreachableVideoError,
    UnreadableVideoError,
)
from dynfocus.text import plural
from dynfocus.video.addresses import is_web_address, show_address
from dynfocus.video.collecting import SampledFrames
from dynfocus.video.container import (
    NOT_A_SINGLE_FILE,
    best_stream,
    decode,
    prepare,
    refuse_to_open,
)
from dynfocus.video.live_clock import ArrivalClock, MomentSampler, trusted_times
from dynfocus.video.live_source import opened, safe_options, target_of
from dynfocus.video.reader import checked_size
from dynfocus.video.scaler import FrameScaler, read_orientation
from dynfocus.video.scan import nominal_rate
from dynfocus.video.watchdog import AbandonedError, available_cores, check_timeout

_logger = logging.getLogger(__name__)
_QUEUE_SIZE = 8
_TICK_SECONDS = 0.05


class LiveReader:
    """Read a video once, from where it stands to where it ends, as it comes.

    The frames are those that `VideoReader.sample` would give for the same rate: of
    every moment the frame on display then, with its own time since the first frame. A
    frame is known to be on display once the next one has come, so one frame's length
    passes before it is given.

    A thread decodes ahead by a few frames. When nobody takes them it waits, and so does
    who writes into the pipe.

    Example:
        >>> with LiveReader("rtsp://camera/1", fps=1.0, size=(224, 224)) as reader:
        ...     for frames, times in reader:
        ...         session.push(frames, times)

    Args:
        source: A file or named pipe, ``"-"`` for standard input, a device, an address of
            http or https, the address of a stream, such as rtsp, that FFmpeg opens, or an
            open binary file.
        fps: Moments a second.
        size: Height and width to resize to; by default the displayed size.
        input_format: FFmpeg's name of the format, where it cannot be told from the
            data; ``v4l2`` by default for a camera under ``/dev/video``.
        options: FFmpeg's options for opening, by name.
        timeout_seconds: How long nothing may come before it is given up; ``None`` waits
            for ever.
        on_picture: Called in the thread that decodes with each picture at its full size
            and its time, before the frame is handed over.

    Raises:
        ValueError: A rate, a size or a timeout is not above 0, or an address is of
            another kind.
        FileNotFoundError: There is no such file, also raised while reading.
        UnreadableVideoError: No video came that can be decoded, while reading.
        StuckVideoError: Nothing came for too long, while reading.
    """

    def __init__(
        self,
        source: str | Path | BinaryIO,
        *,
        fps: float = 1.0,
        size: tuple[int, int] | None = None,
        input_format: str | None = None,
        options: Mapping[str, str] | None = None,
        timeout_seconds: float | None = 60.0,
        on_picture: Callable[[NDArray[np.uint8], float], None] | None = None,
    ) -> None:
        check_timeout(timeout_seconds)
        self.source = source
        self._on_picture = on_picture
        self._full_scaler: FrameScaler | None = None
        self.num_decoded = 0
        self.num_damaged = 0
        self._size = None if size is None else checked_size(size)
        self._sampler = MomentSampler(fps)
        self._shown = show_address(str(source))
        self._target, self._format = target_of(source, input_format)
        self._options = dict(options or {})
        self._timeout_seconds = timeout_seconds
        self._arrived: queue.Queue[SampledFrames | BaseException | None] = queue.Queue(
            _QUEUE_SIZE
        )
        self._is_over = False
        self._is_abandoned = threading.Event()
        self._last_beat = time.monotonic()
        # A daemon: FFmpeg may wait for data that never come.
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def is_over(self) -> bool:
        """Tell whether everything was read."""
        return self._is_over

    def __enter__(self) -> Self:
        self._last_beat = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_abandoned.set()

    def __iter__(self) -> Iterator[SampledFrames]:
        while not self._is_over:
            part = self.read(wait_seconds=1.0)
            if part is not None:
                yield part

    def read(self, wait_seconds: float) -> SampledFrames | None:
        """Take the next frame.

        Args:
            wait_seconds: Wait at most so long for it.

        Returns:
            One frame with its time, or nothing if none came or the video is over.

        Raises:
            FileNotFoundError: There is no such file or device.
            UnreadableVideoError: No video came that can be decoded.
            StuckVideoError: Nothing came for too long.
        """
        if self._is_over:
            return None
        try:
            arrived = self._arrived.get(timeout=wait_seconds)
        except queue.Empty:
            self._check_silence()
            return None
        if isinstance(arrived, SampledFrames):
            return arrived
        self._is_over = True
        if arrived is not None:
            raise arrived
        if self.num_damaged:
            warnings.warn(
                f"{self._shown}: {plural(self.num_damaged, 'piece')} of the video had damage; "
                "frames near them may be missing or wrong.",
                DamagedVideoWarning,
                stacklevel=2,
            )
        return None

    def _check_silence(self) -> None:
        silence = time.monotonic() - self._last_beat
        if self._timeout_seconds is not None and silence > self._timeout_seconds:
            self._is_over = True
            raise StuckVideoError(
                f"{self._shown}: nothing came for {self._timeout_seconds:g} s; check "
                "the source, or wait longer for it."
            )

    def _run(self) -> None:
        """Decode until the end and hand over frames, then why it ended."""
        last: BaseException | None = None
        try:
            self._decode()
        except AbandonedError:
            return
        except BaseException as error:  # noqa: BLE001 raised again by who reads
            last = error
        try:
            self._put(last)
        except AbandonedError:
            return

    def _put(self, item: SampledFrames | BaseException | None) -> None:
        """Hand over an item; waiting for a slow reader is no silence of the source."""
        while not self._is_abandoned.is_set():
            self._last_beat = time.monotonic()
            try:
                self._arrived.put(item, timeout=_TICK_SECONDS)
            except queue.Full:
                continue
            return
        raise AbandonedError

    def _decode(self) -> None:
        with self._open() as container:
            stream = best_stream(container, self._shown)
            prepare(container, stream, num_threads=available_cores())
            clock = ArrivalClock(float(1 / nominal_rate(stream)))
            scaler: FrameScaler | None = None
            before: Any = None
            frames = self._frames(container, stream)
            for frame, declared_seconds in trusted_times(frames, clock):
                if scaler is None:
                    scaler = self._scaler_for(frame)
                seconds = clock.take(declared_seconds)
                if seconds is None:
                    continue
                if before is not None:
                    self._give(before, self._sampler.due_before(seconds), scaler)
                before = seconds, frame
            if before is None or scaler is None:
                raise UnreadableVideoError(
                    f"{self._shown}: no frame came that can be decoded."
                )
            end = before[0] + _length(before[1], clock)
            self._give(before, self._sampler.due_until(end), scaler)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        with (
            opened(self._target, self._timeout_seconds) as target,
            self._container(target) as container,
        ):
            yield container

    def _container(self, target: Any) -> Any:
        is_fetched = isinstance(self._target, str) and is_web_address(self._target)
        try:
            return av.open(
                target,
                format=self._format,
                options=safe_options(self._target, self._format) | self._options,
                io_open=refuse_to_open if is_fetched else None,
            )
        except UnreadableVideoError:
            raise
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{self._shown}: there is no such file or device; check the path."
            ) from error
        except (ConnectionError, TimeoutError) as error:
            raise UnreadableVideoError(
                f"{self._shown}: no server answers there ({error.strerror}); check the "
                "address, and that it is sending."
            ) from error
        except (av.error.FFmpegError, ValueError) as error:
            if getattr(error, "errno", None) == errno.EINVAL and self._format is None:
                raise UnreadableVideoError(
                    f"{self._shown}: {NOT_A_SINGLE_FILE}; give one of the files, or the "
                    "address of a stream."
                ) from error
            if is_fetched:
                raise UnreadableVideoError(
                    f"{self._shown}: FFmpeg cannot open this as a video; a server that "
                    "gives no parts must send a format that needs no seeking, and "
                    "playlists are not read."
                ) from error
            raise UnreadableVideoError(
                f"{self._shown}: FFmpeg cannot open this as a video ({error}); a pipe "
                "must carry a format that needs no seeking, such as MPEG-TS, Matroska "
                "or fragmented MP4."
            ) from error

    def _frames(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield whole frames until the packets end or can no longer be read."""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, UnreachableVideoError) as error:
                _logger.info("%s: reading ended with %s", self._shown, error)
                self.num_damaged += 1
                packet = None
            self._beat()
            frames, succeeded = decode(stream.codec_context, packet)
            is_whole = succeeded and not (packet is not None and packet.is_corrupt)
            self.num_damaged += not is_whole
            for frame in frames:
                if frame.is_corrupt:
                    self.num_damaged += 1
                    continue
                self.num_decoded += 1
                yield frame
            if packet is None or not packet.size:
                return

    def _beat(self) -> None:
        if self._is_abandoned.is_set():
            raise AbandonedError
        self._last_beat = time.monotonic()

    def _scaler_for(self, frame: Any) -> FrameScaler:
        orientation = read_orientation(frame)
        stored = (frame.height, frame.width)
        shown = stored[::-1] if orientation.swaps_sides else stored
        self._full_scaler = FrameScaler(shown, orientation)
        return FrameScaler(self._size or shown, orientation)

    def _give(self, shown: Any, count: int, scaler: FrameScaler) -> None:
        """Hand over the frame on display, once for each moment that it is."""
        if not count:
            return
        seconds, frame = shown
        if self._on_picture is not None and self._full_scaler is not None:
            self._on_picture(self._full_scaler.picture(frame), seconds)
        picture: NDArray[np.uint8] = scaler.picture(frame)
        for _ in range(count):
            self._put(SampledFrames(picture[None], np.array([seconds])))


def _length(frame: Any, clock: ArrivalClock) -> float:
    """Tell how long the last frame stays: declared, else like those before."""
    if frame.duration and frame.time_base:
        return float(frame.duration * frame.time_base)
    return clock.step_seconds
