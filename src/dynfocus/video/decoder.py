"""Decode the stretches of a stream that lead to wanted frames, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from av.video.frame import PictureType

from dynfocus.errors import DynFocusError
from dynfocus.video.collecting import FrameCollector
from dynfocus.video.container import decode, open_container, prepare
from dynfocus.video.files import VideoFile
from dynfocus.video.scaler import FrameScaler
from dynfocus.video.seeking import PacketSource
from dynfocus.video.timeline import Timeline
from dynfocus.video.watchdog import Pulse, run_watched

Mode = Literal["quick", "strict", "tolerant"]
# How many key packets early, and how, frames are decoded that are still missing.
_PASSES: tuple[tuple[int, Mode], ...] = ((0, "quick"), (1, "strict"), (1, "tolerant"))

# Decoders side by side hold about this many pictures each, in no more than this much.
_PICTURES_PER_DECODER = 24
_MAX_PICTURE_BYTES = 2**30


class DisorderedTimesError(DynFocusError):
    """Frames come in another order than their times say."""


class Crew(NamedTuple):
    """Who decodes, and for how long nothing may happen."""

    num_threads: int
    """Cores to use."""
    timeout_seconds: float | None
    """Longest time without progress; ``None`` waits for ever."""


class Stretch(NamedTuple):
    """Packets to decode in one go, from a key packet on."""

    first: int
    """Number of the first packet."""
    stop: int
    """Number after the last packet."""
    indices: list[int]
    """Frames wanted from it, increasing."""


def collect_frames(path: VideoFile, collector: FrameCollector, crew: Crew) -> None:
    """Decode the wanted frames of a file into the collector.

    The first pass decodes only what leads to wanted frames, on all cores.
    Stretches with errors or missing frames are decoded again packet by packet, so
    that an error is met exactly at its packet, and from one key packet earlier, for
    streams whose key packets need a run-up. A frame is kept as it is only if no packet
    from its key packet to itself is missing or met an error.

    What is left is what a decoder makes of the rest of a damaged stretch. Such frames
    may show damage or another moment, and are kept as doubtful.

    Raises:
        DisorderedTimesError: Frames come in another order than their times say.
        MistrustedIndexError: The file does not hold what the timeline expects.
        StuckVideoError: Nothing happened for too long.
    """
    timeline = collector.timeline
    for run_up, mode in _PASSES:
        if collector.has_errors and timeline.has_old_faults:
            if mode == "strict":
                continue
            # What the decoder makes of such a stretch depends on all before.
            collector.forget(collector.indices.tolist())
            run_up = len(timeline.key_packets)
        missing = collector.missing(is_intact=mode != "tolerant")
        stretches = plan_stretches(timeline, missing, run_up)
        _decode_pass(path, collector, stretches, mode, crew)


def plan_stretches(
    timeline: Timeline, indices: list[int], run_up: int
) -> list[Stretch]:
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
    if not run_up or not len(timeline.key_packets):
        return start
    position = int(np.searchsorted(timeline.key_packets, start)) - run_up
    return int(timeline.key_packets[max(position, 0)])


def _decode_pass(
    path: VideoFile,
    collector: FrameCollector,
    stretches: list[Stretch],
    mode: Mode,
    crew: Crew,
) -> None:
    """Decode stretches side by side, on as many cores as there are stretches.

    Cores that are left over go to the decoders, except where each packet must be
    answered at once.
    """
    if not stretches:
        return
    height, width = collector.timeline.size
    room = _MAX_PICTURE_BYTES // (3 * height * width * _PICTURES_PER_DECODER)
    num_decoders = max(1, min(crew.num_threads, len(stretches), room))
    num_threads = crew.num_threads // num_decoders if mode == "quick" else 1
    jobs = [
        partial(_decode_stretches, path, collector, share, mode, max(1, num_threads))
        for share in _share(collector.timeline, stretches, num_decoders)
    ]
    run_watched(
        path,
        jobs,
        timeout_seconds=crew.timeout_seconds,
        on_tick=collector.report,
    )


def _share(
    timeline: Timeline, stretches: list[Stretch], num_shares: int
) -> list[Iterable[Stretch]]:
    """Divide the work.

    Where a file can be entered anywhere, each decoder takes the next stretch when it
    has finished one. Else each one reads the file from its beginning up to its share.
    """
    if timeline.is_seekable:
        queue = iter(stretches)
        return [queue] * num_shares
    work = np.cumsum([stretch.stop - stretch.first for stretch in stretches])
    bounds = np.searchsorted(work, work[-1] * np.arange(1, num_shares) / num_shares)
    edges = [0, *(int(bound) + 1 for bound in bounds), len(stretches)]
    shares = [stretches[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    return [share for share in shares if share]


def _decode_stretches(
    path: VideoFile,
    collector: FrameCollector,
    stretches: Iterable[Stretch],
    mode: Mode,
    num_threads: int,
    pulse: Pulse,
) -> None:
    """Decode stretches one after the other, in a decoder of its own."""
    timeline = collector.timeline
    with open_container(path) as container:
        stream = container.streams[timeline.stream_index]
        prepare(
            container, stream, num_threads=num_threads, is_strict=mode != "tolerant"
        )
        context = stream.codec_context
        source = PacketSource(container, stream, timeline)
        scaler = FrameScaler(collector.size, timeline.orientation)
        skips = mode == "quick" and timeline.marks_unreferenced
        setup = -1
        for stretch in stretches:
            setup = _set_up(context, source, timeline, stretch, setup)
            wanted = {int(timeline.packets[index]) for index in stretch.indices}
            frames = _StretchDecoder(
                context, source, stretch, wanted if skips else None, pulse
            )
            is_ordered = _keep_stretch(collector, stretch, frames, mode, scaler)
            if not is_ordered and mode != "tolerant" and not frames.errors:
                raise DisorderedTimesError
            if frames.errors:
                collector.has_errors = True
            if mode == "quick" and (frames.errors or not frames.begins_whole()):
                collector.forget(stretch.indices)
            if mode == "strict":
                collector.forget(_touched(timeline, stretch, frames.errors))


def _set_up(
    context: Any, source: PacketSource, timeline: Timeline, stretch: Stretch, known: int
) -> int:
    """Let a decoder read what a stretch needs and an earlier packet alone tells.

    Args:
        context: The decoder.
        source: Where packets come from.
        timeline: Which packet tells.
        stretch: What will be decoded.
        known: The packet that this decoder has read for that, -1 for none.

    Returns:
        The packet that it has read now.
    """
    for needed in timeline.setup_packets(stretch.first):
        if known < needed < stretch.first:
            # The decoder of HEVC leaves parameter sets out together with pictures.
            context.skip_frame = "ALL" if context.name == "h264" else "DEFAULT"
            for _, packet in source.read(needed, needed + 1):
                decode(context, packet)
            decode(context, None)
            context.flush_buffers()
            context.skip_frame = "DEFAULT"
            known = needed
    return max(known, 0)


class _StretchDecoder:
    """Iterate over the frames of one stretch and remember errors.

    Args:
        context: The decoder.
        source: Where packets come from.
        stretch: Which packets.
        wanted_packets: Packets whose frames are wanted; of all others only those that
            other frames need are decoded. ``None`` decodes everything.
        pulse: Told of each packet.
    """

    def __init__(
        self,
        context: Any,
        source: PacketSource,
        stretch: Stretch,
        wanted_packets: set[int] | None,
        pulse: Pulse,
    ) -> None:
        self.errors: list[int] = []
        self._first: Any | None = None
        self._context = context
        self._source = source
        self._stretch = stretch
        self._wanted = wanted_packets
        self._pulse = pulse

    def __iter__(self) -> Iterator[Any]:
        """Yield frames in the order in which they are shown."""
        for number, packet in self._source.read(
            self._stretch.first, self._stretch.stop
        ):
            if self._wanted is not None:
                is_wanted = number in self._wanted
                self._context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
            yield from self._decode(number, packet)
        yield from self._decode(self._stretch.stop, None)
        self._context.flush_buffers()

    def begins_whole(self) -> bool:
        """Tell whether the first picture needed nothing before its key packet.

        An H.264 key packet may only begin a gradual refresh. FFmpeg then gives
        pictures from where it takes them for whole, and may take them too early.
        """
        if self._stretch.first == 0 or self._context.name != "h264":
            return True
        first = self._first
        return first is not None and first.pict_type == PictureType.I

    def _decode(self, number: int, packet: Any | None) -> list[Any]:
        self._pulse.beat()
        frames, succeeded = decode(self._context, packet)
        if not succeeded:
            self.errors.append(number)
        if self._first is None and frames:
            self._first = frames[0]
        return frames


def _keep_stretch(
    collector: FrameCollector,
    stretch: Stretch,
    frames: _StretchDecoder,
    mode: Mode,
    scaler: FrameScaler,
) -> bool:
    """Keep the wanted frames of a stretch.

    A frame that never comes in a strict pass without errors belongs to a packet that
    shows nothing itself: the frame before stays on display.

    Returns:
        Whether the frames came in the order of their times.
    """
    pending = list(reversed(stretch.indices))
    replaced: list[int] = []
    before: tuple[int, Any | None] = (-1, None)

    def keep(wanted: int, shown_index: int, frame: Any | None) -> None:
        if frame is not None:
            is_doubtful = mode == "tolerant"
            collector.keep(
                wanted,
                shown_index,
                frame,
                scaler.picture(frame),
                is_doubtful=is_doubtful,
            )

    latest, is_ordered = -1, True
    for count, frame in enumerate(frames):
        index = _locate(collector.timeline, frame, count)
        if index < 0:
            continue
        is_ordered &= index >= latest
        latest = index
        is_usable = mode == "tolerant" or not frame.is_corrupt
        shown = (index, frame if is_usable else None)
        while pending and pending[-1] <= index:
            wanted = pending.pop()
            if wanted == index:
                keep(wanted, *shown)
            else:
                keep(wanted, *before)
                replaced.append(wanted)
        before = shown if mode == "strict" else before
    for wanted in reversed(pending):
        keep(wanted, *before)
    if frames.errors:
        # A decoder that meets an error may also swallow frames that were ready.
        collector.forget(replaced + pending)
    return is_ordered


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
    return count if timeline.is_counted else timeline.index_of(frame.pts)
