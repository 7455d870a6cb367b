"""The packets of a stream by number, with jumps to key packets where a file allows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from dynfocus.errors import DynFocusError
from dynfocus.video.container import read_packets
from dynfocus.video.timeline import Timeline


class MistrustedIndexError(DynFocusError):
    """The file does not hold what its index promises."""


class PacketSource:
    """Read packets whose number on the timeline is always known.

    After a jump the number is found by the time of the key packet where it ended, and
    every packet must have the time that the timeline expects of it.

    Args:
        container: The open file.
        stream: The stream to read.
        timeline: The timeline of that stream.
    """

    def __init__(self, container: Any, stream: Any, timeline: Timeline) -> None:
        self._container = container
        self._stream = stream
        self._timeline = timeline
        self._position = 0
        self._landing: Any | None = None
        self._packets = read_packets(container, stream)
        key_pts = timeline.packet_pts[timeline.key_packets]
        self._key_order = np.argsort(key_pts) if timeline.is_seekable else key_pts
        self._key_pts = key_pts[self._key_order] if timeline.is_seekable else key_pts

    def read(self, first: int, stop: int) -> Iterator[tuple[int, Any]]:
        """Yield the packets from ``first`` on and before ``stop`` with their numbers.

        Jumps only if a key packet lies between the place in the file and ``first``.

        Raises:
            MistrustedIndexError: A packet is not the one expected.
        """
        if self._timeline.is_seekable:
            key = int(np.searchsorted(self._timeline.key_packets, first, "right")) - 1
            is_ahead = key >= 0 and self._timeline.key_packets[key] > self._position
            if is_ahead or first < self._position:
                self._jump(key, first)
        while self._position < stop:
            packet = self._next()
            if packet is None:
                return
            self._position += 1
            if self._position > first:
                yield self._position - 1, packet

    def _next(self) -> Any | None:
        """Return the next packet, compared with the timeline."""
        packet, self._landing = self._landing, None
        if packet is None:
            _, packet = next(self._packets, (0, None))
        expected = self._timeline.packet_pts
        if packet is None:
            if self._timeline.is_from_index:
                raise MistrustedIndexError
            return None
        if self._timeline.is_seekable and (
            self._position >= len(expected) or packet.pts != expected[self._position]
        ):
            raise MistrustedIndexError
        return packet

    def _jump(self, key: int, first: int) -> None:
        """Go to a key packet, or to one a little before it."""
        # Where key packets follow closely, order of decoding and of display may differ.
        for attempt in (key, key - 2):
            packet_number = self._timeline.key_packets[max(attempt, 0)]
            self._seek(int(self._timeline.packet_pts[packet_number]))
            if self._position <= first:
                return
        raise MistrustedIndexError

    def _seek(self, pts: int) -> None:
        """Seek, and find the number of the key packet where that ends."""
        try:
            self._container.seek(pts, stream=self._stream)
        except av.error.FFmpegError as error:
            raise MistrustedIndexError from error
        self._packets = read_packets(self._container, self._stream)
        packet = next((p for _, p in self._packets if p.is_keyframe), None)
        if packet is None or packet.pts is None:
            raise MistrustedIndexError
        place = int(np.searchsorted(self._key_pts, packet.pts))
        if place >= len(self._key_pts) or self._key_pts[place] != packet.pts:
            raise MistrustedIndexError
        self._landing = packet
        self._position = int(self._timeline.key_packets[self._key_order[place]])
