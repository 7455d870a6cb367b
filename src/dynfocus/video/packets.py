"""What is known of the packets of a stream, read one by one or taken from its index."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynfocus.video.bitstream import carries_parameter_sets, shows_picture
from dynfocus.video.files import VideoFile
from dynfocus.video.structure import follow_boxes, read_sample_times
from dynfocus.video.time_stamps import NO_TIME, mend_times

_KEY, _SHOWN, _CORRUPT = 1, 2, 4
# FFmpeg's flags of an index entry.
_INDEX_KEY, _INDEX_DISCARD = 1, 2
# Kinds of tracks whose packets may hold parameter sets (ISO 14496-15, 5.3.3 and 8.3.3).
_TAGS_WITH_SETS_INSIDE = {"avc3", "hev1"}
_NUM_HEAD_BYTES = 2048


@dataclass(frozen=True, kw_only=True)
class PacketTable:
    """The packets of a stream in file order, times in ticks."""

    pts: NDArray[np.int64]
    """When each packet's picture is shown, or ``NO_TIME``, shape ``[P]``."""
    file_pts: NDArray[np.int64]
    """The same as the file has it, by which packets and frames are known, ``[P]``."""
    dts: NDArray[np.int64]
    """When each packet is decoded, or ``NO_TIME``, shape ``[P]``."""
    durations: NDArray[np.int64]
    """How long each picture stays as declared, 0 if unknown, shape ``[P]``."""
    is_key: NDArray[np.bool_]
    """Where decoding can begin, shape ``[P]``."""
    is_shown: NDArray[np.bool_]
    """Which packets give a picture that is displayed, shape ``[P]``."""
    is_corrupt: NDArray[np.bool_]
    """Which packets the container knows to be incomplete, shape ``[P]``."""
    setups: NDArray[np.int64]
    """Numbers of the key packets that carry parameter sets, as far as known."""
    is_from_index: bool
    """Whether the packets were taken from the index of the file, unread."""

    def agrees(self, number: int, packet: Any) -> bool:
        """Tell whether a packet that was read is the one expected."""
        return (
            number < len(self.pts)
            and packet.pts == self.file_pts[number]
            and packet.dts == self.dts[number]
            and packet.is_keyframe == self.is_key[number]
        )


class PacketRecorder:
    """Note packets as they are read, about 25 bytes each."""

    def __init__(self, context: Any) -> None:
        self._codec = context.name
        self._extradata = context.extradata or b""
        self._num_packets = 0
        self._setups = array("q")
        self._times = array("q")
        self._flags = bytearray()

    def add(self, packet: Any) -> None:
        """Note one packet."""
        if packet.is_keyframe and carries_parameter_sets(
            self._codec, self._extradata, packet
        ):
            self._setups.append(self._num_packets)
        self._num_packets += 1
        pts, dts = packet.pts, packet.dts
        self._times.append(NO_TIME if pts is None else pts)
        self._times.append(NO_TIME if dts is None else dts)
        self._times.append(packet.duration or 0)
        self._flags.append(
            (packet.is_keyframe and _KEY)
            | (not packet.is_discard and shows_picture(self._codec, packet) and _SHOWN)
            | (packet.is_corrupt and _CORRUPT)
        )

    def table(self, time_base: Fraction) -> PacketTable:
        """Return what was noted, damaged times mended."""
        times = np.array(self._times, dtype=np.int64).reshape(-1, 3)
        flags = np.frombuffer(bytes(self._flags), dtype=np.uint8)
        file_pts = times[:, 0].copy()
        mended = mend_times(file_pts, times[:, 1].copy(), float(1 / time_base))
        return PacketTable(
            pts=mended.pts,
            file_pts=file_pts,
            dts=mended.dts,
            durations=times[:, 2].copy(),
            is_key=(flags & _KEY) > 0,
            is_shown=(flags & _SHOWN > 0) & mended.is_placed,
            is_corrupt=(flags & _CORRUPT) > 0,
            setups=np.array(self._setups, dtype=np.int64),
            is_from_index=False,
        )


def read_index(path: VideoFile, container: Any, stream: Any) -> PacketTable | None:
    """Take the packets from the index of an MP4 file, if it can be trusted.

    FFmpeg's index holds every sample, edit lists applied, but only the times of
    decoding; the sample tables of the file give the times of display. Whatever is
    unusual (fragments, a cut file, tables that do not match) gives nothing, and
    every packet that is read later is compared with what is expected here.
    """
    if "mp4" not in container.format.name.split(","):
        return None
    # PyAV shows the index from version 17 on.
    entries = getattr(stream, "index_entries", None)
    chain = follow_boxes(path)
    if not entries or chain.is_broken_off or chain.is_fragmented:
        return None
    samples = read_sample_times(path, chain, stream.id)
    if samples is None or len(samples.offsets) != len(entries):
        return None
    # One number an entry: an array of pairs takes twice as long to make.
    index = np.array([e.timestamp << 2 | e.flags & 3 for e in entries], dtype=np.int64)
    dts, flags = index >> 2, index & 3
    if (np.diff(dts) < 0).any():
        return None
    pts = dts + samples.offsets + max(0, -int(samples.offsets.min()))
    return PacketTable(
        pts=pts,
        file_pts=pts,
        dts=dts,
        durations=np.append(np.diff(dts), samples.last_duration),
        is_key=(flags & _INDEX_KEY) > 0,
        is_shown=(flags & _INDEX_DISCARD) == 0,
        is_corrupt=np.zeros(len(dts), dtype=bool),
        setups=_read_setups(path, stream, np.flatnonzero(flags & _INDEX_KEY)),
        is_from_index=True,
    )


def _read_setups(
    path: VideoFile, stream: Any, keys: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Look into key packets for parameter sets, where a file may have them there."""
    context = stream.codec_context
    if context.codec_tag not in _TAGS_WITH_SETS_INSIDE:
        return np.zeros(0, dtype=np.int64)
    setups = []
    with path.open("rb") as file:
        for key in keys:
            entry = stream.index_entries[int(key)]
            file.seek(entry.pos)
            head = file.read(min(entry.size, _NUM_HEAD_BYTES))
            if carries_parameter_sets(context.name, context.extradata or b"", head):
                setups.append(int(key))
    return np.array(setups, dtype=np.int64)
