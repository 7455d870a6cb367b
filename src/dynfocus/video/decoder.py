"""Decode the stretches of a stream that lead to wanted frames, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynfocus.video.container import decode, open_container, read_packets
from dynfocus.video.timeline import Timeline

Mode = Literal["threads", "strict", "tolerant"]


class Stretch(NamedTuple):
    """Packets to decode in one go, from a key packet on."""

    first: int
    """Number of the first packet."""
    stop: int
    """Number after the last packet."""
    indices: list[int]
    """Frames wanted from it, increasing."""


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
        self.progress = progress
        self.frames = np.zeros((len(indices), *size, 3), dtype=np.uint8)
        self.times = np.zeros(len(indices), dtype=np.float64)
        self.is_kept = np.zeros(len(indices), dtype=bool)
        self.has_errors = False
        self.num_damaged = 0

    def missing(self) -> list[int]:
        """List the frames still to be decoded, increasing."""
        wanted = self.indices[~self.is_kept & (self.indices >= 0)]
        return [int(index) for index in np.unique(wanted)]

    def keep(self, index: int, shown_index: int, frame: Any | None) -> None:
        """Store a frame for every wanted moment that frame ``index`` serves.

        Args:
            index: The frame that the timeline expects.
            shown_index: The frame that the decoder delivered.
            frame: The decoded frame, ``None`` if it is of no use.
        """
        if frame is None:
            return
        slots = np.flatnonzero(self.indices == index)
        self.frames[slots] = self._picture(frame)
        self.times[slots] = self.timeline.pts_seconds[shown_index]
        self.is_kept[slots] = True
        if self.progress is not None:
            self.progress(int(self.is_kept.sum()), len(self.indices))

    def forget(self, indices: list[int]) -> None:
        """Give up frames that were kept."""
        self.is_kept[np.isin(self.indices, indices)] = False

    def _picture(self, frame: Any) -> NDArray[np.uint8]:
        """Resize a frame while it becomes red, green, blue, then turn it."""
        orientation = self.timeline.orientation
        height, width = self.size
        if orientation.swaps_sides:
            height, width = width, height
        is_smaller = height * width < frame.height * frame.width
        picture = frame.reformat(
            width=width,
            height=height,
            format="rgb24",
            interpolation="AREA" if is_smaller else "BICUBIC",
        ).to_ndarray()
        return orientation.apply(picture)


def collect_frames(path: Path, collector: FrameCollector) -> None:
    """Decode the wanted frames of a file into the collector.

    The first pass uses all threads and decodes only what leads to wanted frames.
    Stretches with errors or missing frames are decoded again with one thread, so
    that an error is met exactly at its packet, and from one key packet earlier, for
    streams whose key packets need a run-up. A frame is kept only if no packet from
    its key packet to itself met an error: decoders invent pictures from what is left
    of a damaged stretch, which may show another moment.

    If that costs more than half of the frames, the file is one long stretch or was
    written carelessly; then invented pictures are better than none and are counted.
    """
    timeline = collector.timeline
    _decode_pass(path, collector, _plan(timeline, collector.missing(), 0), "threads")
    _decode_pass(path, collector, _plan(timeline, collector.missing(), 1), "strict")
    missing = collector.missing()
    if 2 * len(missing) > len(np.unique(collector.indices[collector.indices >= 0])):
        num_intact = int(collector.is_kept.sum())
        _decode_pass(path, collector, _plan(timeline, missing, 1), "tolerant")
        collector.num_damaged = int(collector.is_kept.sum()) - num_intact


def _plan(timeline: Timeline, indices: list[int], run_up: int) -> list[Stretch]:
    """Group wanted frames into stretches of packets, in file order."""
    stretches: list[Stretch] = []
    for index in indices:
        first = _first_packet(timeline, index, run_up)
        stop = int(timeline.packets[index]) + 1
        if stretches and first < stretches[-1].stop:
            last = stretches[-1]
            last.indices.append(index)
            stretches[-1] = last._replace(stop=max(last.stop, stop))
        else:
            stretches.append(Stretch(first, stop, [index]))
    return stretches


def _first_packet(timeline: Timeline, index: int, run_up: int) -> int:
    """Find where decoding begins for a frame, ``run_up`` key packets early."""
    start = int(timeline.starts[index])
    position = int(np.searchsorted(timeline.key_packets, start)) - run_up
    return int(timeline.key_packets[position]) if run_up and position >= 0 else start


def _decode_pass(
    path: Path,
    collector: FrameCollector,
    stretches: list[Stretch],
    mode: Mode,
) -> None:
    """Read the file once and decode the stretches."""
    if not stretches:
        return
    with open_container(path) as container:
        stream = container.streams[collector.timeline.stream_index]
        stream.thread_type = "AUTO" if mode == "threads" else "NONE"
        if mode != "tolerant":
            # Damage becomes an error instead of being painted over in silence.
            stream.codec_context.options = {"err_detect": "explode"}
        packets = read_packets(container, stream)
        for stretch in stretches:
            frames = _StretchDecoder(stream.codec_context, packets, stretch)
            _keep_stretch(collector, stretch, frames, mode)
            collector.has_errors |= bool(frames.errors)
            if mode == "threads" and frames.errors:
                collector.forget(stretch.indices)
            if mode == "strict":
                collector.forget(_touched(collector.timeline, stretch, frames.errors))


class _StretchDecoder:
    """Iterate over the frames of one stretch and remember errors."""

    def __init__(
        self, context: Any, packets: Iterator[tuple[int, Any]], stretch: Stretch
    ) -> None:
        self.errors: list[int] = []
        self._context = context
        self._packets = packets
        self._stretch = stretch

    def __iter__(self) -> Iterator[Any]:
        """Yield frames in the order in which they are shown."""
        for number, packet in self._packets:
            if number >= self._stretch.first:
                yield from self._decode(number, packet)
            if number + 1 >= self._stretch.stop:
                break
        yield from self._decode(self._stretch.stop, None)
        self._context.flush_buffers()

    def _decode(self, number: int, packet: Any | None) -> list[Any]:
        frames, succeeded = decode(self._context, packet)
        if not succeeded:
            self.errors.append(number)
        return frames


def _keep_stretch(
    collector: FrameCollector, stretch: Stretch, frames: _StretchDecoder, mode: Mode
) -> None:
    """Keep the wanted frames of a stretch.

    A frame that never comes in a strict pass without errors belongs to a packet that
    shows nothing itself: the frame before stays on display.
    """
    pending = list(reversed(stretch.indices))
    replaced: list[int] = []
    before: tuple[int, Any | None] = (-1, None)
    for count, frame in enumerate(frames):
        index = _locate(collector.timeline, frame, count)
        if index < 0:
            continue
        is_usable = mode == "tolerant" or not frame.is_corrupt
        shown = (index, frame if is_usable else None)
        while pending and pending[-1] <= index:
            wanted = pending.pop()
            if wanted == index:
                collector.keep(wanted, *shown)
            else:
                collector.keep(wanted, *before)
                replaced.append(wanted)
        before = shown if mode == "strict" else before
    for wanted in reversed(pending):
        collector.keep(wanted, *before)
    if frames.errors:
        # A decoder that meets an error may also swallow frames that were ready.
        collector.forget(replaced + pending)


def _touched(timeline: Timeline, stretch: Stretch, errors: list[int]) -> list[int]:
    """List the wanted frames with an error between their key packet and themselves.

    One packet more counts, for damage is often noticed only at the packet after it.
    """
    # Without times nothing tells which packet made a frame.
    if timeline.is_counted or not errors:
        return []
    return [
        index
        for index in stretch.indices
        if any(
            timeline.starts[index] <= error <= timeline.packets[index] + 1
            for error in errors
        )
    ]


def _locate(timeline: Timeline, frame: Any, count: int) -> int:
    """Find a decoded frame in the timeline, -1 if it is not there."""
    if timeline.is_counted:
        return count
    if frame.pts is None:
        return -1
    index = int(np.searchsorted(timeline.pts, frame.pts))
    if index < len(timeline.pts) and timeline.pts[index] == frame.pts:
        return index
    return -1
