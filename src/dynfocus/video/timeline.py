"""The timeline of a video: when each frame is shown and which packets make it.

It comes from the packets of the stream, all of them, without decoding: from the index of
a whole MP4 file, else from reading the file once. So it does not depend on what headers
claim. Files whose packets carry no usable presentation time (raw H.264, some AVI files,
joined transport streams) are decoded once instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynfocus.video.container import (
    check_file,
    decode,
    open_container,
    prepare,
    read_packets,
)
from dynfocus.video.files import VideoFile
from dynfocus.video.scaler import Orientation, read_orientation
from dynfocus.video.scan import FileFacts, Scan, scan_file
from dynfocus.video.time_stamps import NO_TIME
from dynfocus.video.watchdog import Pulse, available_cores, run_watched

# Times of frames are ticks made seconds; a frame counts as shown this much early.
_SLACK_SECONDS = 1e-6
# A declared length that exceeds the frames by more than this shows a cut file.
_CUT_SECONDS = 1.0
# A decoding clock that falls back by more than this was joined from two files.
_CLOCK_JUMP_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Presentation times of a stream and the packets behind them."""

    facts: FileFacts
    """What the file says of itself."""
    stream_index: int
    """Which stream of the file."""
    pts_seconds: NDArray[np.float64]
    """When each frame is first shown, increasing from 0, shape ``[F]``."""
    file_pts: NDArray[np.int64]
    """When the file says so, in ticks, by which a decoded frame is known; counting from
    0 if ``is_counted``. ``[F]``."""
    pts_order: NDArray[np.int64]
    """Frames in the order of ``file_pts``, which damaged times disturb, ``[F]``."""
    packets: NDArray[np.int64]
    """Number of the packet that completes each frame, shape ``[F]``."""
    key_packets: NDArray[np.int64]
    """Numbers of the packets where decoding can begin, increasing."""
    packet_pts: NDArray[np.int64]
    """When the file says that each packet's picture is shown, in ticks, ``[P]``."""
    starts: NDArray[np.int64]
    """Number of the last packet from which each frame can be decoded, ``[F]``."""
    is_intact: NDArray[np.bool_]
    """Whether all packets that lead to a frame are there and whole, ``[F]``."""
    shown_until: NDArray[np.float64]
    """Seconds up to which each frame is known to be on display, ``[F]``."""
    is_counted: bool
    """Whether frames are told apart by their number, for want of times."""
    is_from_index: bool
    """Whether the packets come from the index of the file and were not read."""
    is_seekable: bool
    """Whether the file can be entered at a key packet."""
    marks_unreferenced: bool
    """Whether the decoder can tell frames that no other frame needs."""
    setups: NDArray[np.int64]
    """Numbers of the packets that carry parameter sets, as far as known, increasing."""
    has_old_faults: bool
    """Whether the decoder undoes faults of the encoder that the first packet names."""
    duration: float
    """Where the last frame that the file holds ends, in seconds."""
    declared_duration: float
    """Length that a cut file declares, if more; else ``duration``."""
    is_cut: bool
    """Whether the file ends early."""
    num_frames: int
    """Frames that the file holds and shows."""
    size: tuple[int, int]
    """Height and width as displayed."""
    orientation: Orientation
    """How stored pictures are turned to be displayed."""

    def frames_at(self, seconds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Find the frame on display at each moment, -1 if the file has lost it.

        Args:
            seconds: Moments, shape ``[T]``.

        Returns:
            Numbers of frames, shape ``[T]``.
        """
        found = np.searchsorted(self.pts_seconds, seconds + _SLACK_SECONDS, "right")
        indices = np.maximum(found - 1, 0).astype(np.int64)
        is_held = seconds < self.shown_until[indices]
        indices[~is_held] = -1
        return indices

    def index_of(self, file_pts: int | None) -> int:
        """Find the frame that the file says is shown at a tick, -1 if there is none."""
        if file_pts is None:
            return -1
        place = int(np.searchsorted(self.file_pts, file_pts, sorter=self.pts_order))
        if place == len(self.file_pts):
            return -1
        index = int(self.pts_order[place])
        return index if self.file_pts[index] == file_pts else -1

    @property
    def has_rare_setups(self) -> bool:
        """Tell whether decoding from a key packet may need sets from an earlier one."""
        return 0 < len(self.setups) < len(self.key_packets)

    def setup_packets(self, packet: int) -> list[int]:
        """List the packets that tell a decoder what it must know at a later one.

        The first packet names an encoder whose faults the decoder undoes; parameter
        sets may stand in one packet for all that follow.
        """
        found = [0] if self.has_old_faults else []
        place = int(np.searchsorted(self.setups, packet, "right"))
        return found + ([int(self.setups[place - 1])] if place else [])


def open_timeline(
    path: VideoFile,
    *,
    timeout_seconds: float | None,
    wanted_stream: int | None = None,
    trusts_index: bool = True,
    counts_frames: bool = False,
) -> Timeline:
    """Check a file and read its timeline under watch."""
    check_file(path)
    job = partial(
        read_timeline,
        path,
        wanted_stream=wanted_stream,
        trusts_index=trusts_index,
        counts_frames=counts_frames,
    )
    return run_watched(path, [job], timeout_seconds=timeout_seconds)[0]


def read_timeline(
    path: VideoFile,
    pulse: Pulse,
    *,
    wanted_stream: int | None = None,
    trusts_index: bool = True,
    counts_frames: bool = False,
) -> Timeline:
    """Read the timeline of a video stream of a file.

    Args:
        path: The file, already checked.
        pulse: Told of progress.
        wanted_stream: Number of the stream, in place of the one that a player shows.
        trusts_index: Whether the index of the file may stand for its packets.
        counts_frames: Whether frames are told apart by number though they have times.
    """
    scan = scan_file(
        path, pulse, trusts_index=trusts_index, wanted_stream=wanted_stream
    )
    if scan is None:
        return read_timeline(
            path,
            pulse,
            wanted_stream=wanted_stream,
            trusts_index=False,
            counts_frames=counts_frames,
        )
    if _has_usable_times(scan) and not counts_frames:
        return _timeline_of_packets(scan)
    return _timeline_of_frames(path, scan, pulse)


def _has_usable_times(scan: Scan) -> bool:
    """Tell whether every packet has a time and the clock never jumps back."""
    if scan.has_invented_times:
        return False
    if scan.first_frame.pts is None or (scan.table.pts == NO_TIME).any():
        return False
    decoding_times = scan.table.dts[scan.table.dts != NO_TIME]
    steps = np.diff(decoding_times)
    return float(steps.min(initial=0) * scan.time_base) >= -_CLOCK_JUMP_SECONDS


def _timeline_of_packets(scan: Scan) -> Timeline:
    """Build the timeline from the times of the packets."""
    pts, is_key, file_pts = _shown_times(scan), scan.table.is_key, scan.table.file_pts
    key_packets = np.flatnonzero(is_key)
    origin = _first_shown(scan, key_packets)
    shown = np.flatnonzero(scan.table.is_shown & (pts >= origin))
    shown = shown[np.argsort(pts[shown], kind="stable")]
    # Of packets with one time, the last completes the frame.
    is_last = np.append(np.diff(pts[shown]) > 0, True)
    frames = shown[is_last]
    seconds = (pts[frames] - origin) * float(scan.time_base)
    durations = scan.table.durations[frames]
    is_before_hole = _find_holes(seconds, durations * float(scan.time_base))
    starts = _start_packets(pts[frames], frames, key_packets, pts[key_packets])
    is_broken = scan.table.is_corrupt.copy()
    after_holes = frames[1:][is_before_hole[:-1]]
    is_broken[after_holes[~is_key[after_holes]]] = True
    num_broken = np.concatenate([[0], np.cumsum(is_broken)])
    has_unique_keys = len(np.unique(pts[key_packets])) == len(key_packets) > 0
    return _build(
        scan,
        pts_seconds=seconds,
        file_pts=file_pts[frames],
        packets=frames,
        key_packets=key_packets,
        packet_pts=file_pts,
        starts=starts,
        is_intact=num_broken[frames + 1] == num_broken[starts],
        is_before_hole=is_before_hole,
        is_counted=False,
        is_seekable=scan.has_key_index and has_unique_keys,
        # Of two packets for one picture, a field each, the mark speaks of one field.
        marks_unreferenced=scan.marks_unreferenced and bool(is_last.all()),
        last_duration=_last_duration(scan, seconds, int(durations[-1])),
    )


def _shown_times(scan: Scan) -> NDArray[np.int64]:
    """Give packets the times of their pictures.

    A decoder that keeps the order of the file shows pictures in that order, so times
    that fall back have changed places.
    """
    pts = scan.table.pts
    if scan.reorders:
        return pts
    shown = np.flatnonzero(scan.table.is_shown)
    ordered = _in_order(pts[shown], float(scan.time_base))
    if ordered is None or (ordered == pts[shown]).all():
        return pts
    pts = pts.copy()
    pts[shown] = ordered
    return pts


def _find_holes(
    seconds: NDArray[np.float64], durations: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Mark the frames after which others are missing, as in a damaged file.

    In a stream of constant rate, a step of more than five frames that the container
    does not declare is a hole. With a variable rate nothing can be told.
    """
    steps = np.diff(seconds)
    is_hole = np.zeros(len(seconds), dtype=bool)
    if len(steps) < 10:
        return is_hole
    typical = float(np.median(steps))
    is_typical = np.abs(steps - typical) <= max(0.1 * typical, 0.0015)
    if is_typical.mean() >= 0.95:
        is_hole[:-1] = (steps > 5 * typical) & (durations[:-1] < 0.5 * steps)
    return is_hole


def _start_packets(
    pts: NDArray[np.int64],
    packets: NDArray[np.int64],
    key_packets: NDArray[np.int64],
    key_pts: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Find the last key packet from which each frame can be decoded.

    A picture shown before a key packet that it follows in the file leans on the key
    packet before, so the key packet must precede the frame in both orders.
    """
    if not len(key_packets):
        return np.zeros(len(pts), dtype=np.int64)
    keys = np.searchsorted(key_packets, packets, "right") - 1
    while (is_late := (keys >= 0) & (key_pts[keys] > pts)).any():
        keys = keys - is_late
    return np.where(keys >= 0, key_packets[keys], 0)


def _first_shown(scan: Scan, key_packets: NDArray[np.int64]) -> int:
    """Find the time of the first frame that a player would show.

    It is the first one that decodes: packets before the first key packet, and
    pictures that lean on them, cannot be shown. If decoding failed on the way,
    it is the first one that should have been shown.
    """
    pts = _shown_times(scan)
    made_it = np.flatnonzero(scan.table.file_pts == scan.first_frame.pts)
    first_decoded = int(pts[made_it[0]] if len(made_it) else scan.first_frame.pts)
    if not scan.has_errors or not len(key_packets):
        return first_decoded
    first_key = int(key_packets[0])
    after_key = np.arange(len(pts)) >= first_key
    expected = pts[scan.table.is_shown & after_key & (pts >= pts[first_key])]
    return int(expected.min(initial=first_decoded))


def _timeline_of_frames(path: VideoFile, scan: Scan, pulse: Pulse) -> Timeline:
    """Build the timeline by decoding the whole file once."""
    times: list[int | None] = []
    last_packets: list[int] = []
    number = 0
    with open_container(path) as container:
        stream = container.streams[scan.stream_index]
        prepare(container, stream, num_threads=available_cores())
        for number, packet in read_packets(container, stream):
            pulse.beat()
            for frame in decode(stream.codec_context, packet)[0]:
                times.append(frame.pts)
                last_packets.append(number)
        for frame in decode(stream.codec_context, None)[0]:
            times.append(frame.pts)
            last_packets.append(number)
    seconds = _frame_seconds(times, scan)
    return _build(
        scan,
        pts_seconds=seconds,
        file_pts=np.arange(len(times), dtype=np.int64),
        packets=np.array(last_packets, dtype=np.int64),
        key_packets=np.zeros(1, dtype=np.int64),
        packet_pts=scan.table.file_pts,
        starts=np.zeros(len(times), dtype=np.int64),
        is_intact=np.ones(len(times), dtype=bool),
        is_before_hole=np.zeros(len(times), dtype=bool),
        is_counted=True,
        is_seekable=False,
        marks_unreferenced=False,
        last_duration=_last_duration(scan, seconds, 0),
    )


def _frame_seconds(times: Sequence[int | None], scan: Scan) -> NDArray[np.float64]:
    """Give decoded frames the best times that the file allows.

    These are their own if they increase, or would if some changed places; else those at which their packets are
    decoded, which increase in AVI files; else their own, continued over places where
    the clock was set back; else multiples of the nominal frame duration.
    """
    unit = float(scan.time_base)
    own = _in_order(_without_gaps(times), unit)
    if own is not None and (np.diff(own) > 0).all():
        return (own - own[0]) * unit
    dts = scan.table.dts
    decoding = None if (dts == NO_TIME).any() else dts
    if decoding is not None and (np.diff(decoding) > 0).all():
        if len(decoding) == len(times):
            return (decoding - decoding[0]) * unit
    elif own is not None and (np.diff(own) > 0).any():
        steps = np.diff(own)
        steps = np.where(steps > 0, steps, np.median(steps[steps > 0]))
        return np.concatenate([[0.0], np.cumsum(steps)]) * unit
    return np.arange(len(times), dtype=np.float64) / float(scan.rate)


def _in_order(ticks: NDArray[np.int64] | None, unit: float) -> NDArray[np.int64] | None:
    """Sort times of which some changed places; leave a clock that was set anew."""
    if ticks is None:
        return None
    ordered = np.sort(ticks)
    is_near = np.abs(ordered - ticks).max(initial=0) * unit < _CLOCK_JUMP_SECONDS
    return ordered if is_near and (np.diff(ordered) > 0).all() else ticks


def _without_gaps(ticks: Sequence[int | None]) -> NDArray[np.int64] | None:
    """Make an array of ticks, or nothing if some are unknown."""
    if any(tick is None for tick in ticks):
        return None
    return np.array(ticks, dtype=np.int64)


def _last_duration(
    scan: Scan, seconds: NDArray[np.float64], declared_ticks: int
) -> float:
    """Find how long the last frame stays: declared, else typical, else nominal."""
    if declared_ticks > 0:
        return float(declared_ticks * scan.time_base)
    if len(seconds) > 1:
        return float(np.median(np.diff(seconds)))
    return float(1 / scan.rate)


def _build(
    scan: Scan,
    *,
    pts_seconds: NDArray[np.float64],
    file_pts: NDArray[np.int64],
    is_before_hole: NDArray[np.bool_],
    last_duration: float,
    **fields: Any,
) -> Timeline:
    """Complete the timeline with what does not depend on how it was read."""
    frame = scan.first_frame
    orientation = read_orientation(frame)
    height, width = frame.height, frame.width
    end = float(pts_seconds[-1]) + last_duration
    is_cut = _is_cut(scan, end, last_duration)
    shown_until = np.append(pts_seconds[1:], end if is_cut else np.inf)
    typical = np.median(np.diff(pts_seconds)) if is_before_hole.any() else 0.0
    shown_until[is_before_hole] = pts_seconds[is_before_hole] + typical
    return Timeline(
        facts=scan.facts,
        stream_index=scan.stream_index,
        pts_seconds=pts_seconds,
        file_pts=file_pts,
        pts_order=np.argsort(file_pts, kind="stable"),
        shown_until=shown_until,
        duration=end,
        declared_duration=max(end, scan.declared_seconds) if is_cut else end,
        is_cut=is_cut,
        num_frames=len(pts_seconds),
        is_from_index=scan.table.is_from_index,
        setups=scan.table.setups,
        has_old_faults=scan.has_old_faults,
        size=(width, height) if orientation.swaps_sides else (height, width),
        orientation=orientation,
        **fields,
    )


def _is_cut(scan: Scan, end: float, last_duration: float) -> bool:
    """Tell whether the file ends before its video does."""
    if scan.declared_seconds > end + _CUT_SECONDS:
        return True
    is_shorter = scan.declared_seconds > end + 0.5 * last_duration
    is_unknown = scan.declared_seconds <= 0
    is_suspect = scan.is_broken_off or bool(scan.table.is_corrupt[-1])
    return is_suspect and (is_shorter or is_unknown)
