"""One reading of a file: its packets, its first frame and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from dynfocus.errors import UnreadableVideoError
from dynfocus.video.bitstream import (
    comes_from_old_encoder,
    marks_unreferenced_frames,
)
from dynfocus.video.container import (
    best_stream,
    decode,
    film_streams,
    open_container,
    prepare,
    read_packets,
)
from dynfocus.video.files import VideoFile
from dynfocus.video.packets import PacketRecorder, PacketTable, read_index
from dynfocus.video.structure import FileStructure, read_structure
from dynfocus.video.watchdog import Pulse

# Formats whose index of key frames FFmpeg follows exactly.
_FORMATS_WITH_KEY_INDEX = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What a file says of itself, and what else stands in it."""

    container: str
    """FFmpeg's name of the container."""
    metadata: dict[str, str]
    """The container's own notes, such as ``title`` and ``comment``."""
    codec: str
    """Name of the codec."""
    profile: str | None
    """Its profile, if it has one."""
    pixel_format: str
    """FFmpeg's name of the pixel format of the first frame."""
    bit_depth: int
    """Bits a component of the first frame."""
    pixel_aspect_ratio: str
    """Width of a pixel to its height, ``"1:1"`` if nothing is said."""
    transfer: int
    """How light becomes numbers, as AVColorTransferCharacteristic counts them."""
    late_seconds: float
    """Seconds from the beginning of the file, where sound may be, to the first frame."""
    declared_frame_count: int
    """Frames by the header, 0 if it does not say."""
    video_streams: int
    """Video streams beside cover pictures."""
    video_stream_numbers: tuple[int, ...]
    """Their numbers among all streams of the file."""
    shown_stream: int
    """Number of the one that a player shows."""
    cover_pictures: int
    """Cover pictures."""
    audio_streams: int
    """Audio streams."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One reading of a file."""

    facts: FileFacts
    """What it says of itself."""
    table: PacketTable
    """Its packets."""
    first_frame: Any
    """The first frame that can be decoded."""
    has_errors: bool
    """Whether the decoder met an error before that."""
    is_broken_off: bool
    """Whether the structure of the file shows that its end is missing."""
    declared_seconds: float
    """Length that the stream declares, 0 if it does not."""
    stream_index: int
    """Which stream was read."""
    time_base: Fraction
    """Seconds a tick."""
    rate: Fraction
    """Frames a second where nothing else tells."""
    reorders: bool
    """Whether the decoder may show frames in another order than that of the file."""
    has_invented_times: bool
    """Whether FFmpeg guesses the times of its frames."""
    has_key_index: bool
    """Whether FFmpeg finds key packets by time in such a file."""
    marks_unreferenced: bool
    """Whether the decoder can tell frames that no other frame needs."""
    has_old_faults: bool
    """Whether the decoder undoes faults of the encoder that the first packet names."""


def scan_file(
    path: VideoFile,
    pulse: Pulse,
    *,
    trusts_index: bool,
    wanted_stream: int | None = None,
) -> Scan | None:
    """Learn all packets and decode up to the first frame; nothing if the index errs.

    Args:
        path: The file, already checked.
        pulse: Told of progress.
        trusts_index: Whether the index of the file may stand for its packets.
        wanted_stream: Number of the stream, in place of the one that a player shows.

    Raises:
        UnreadableVideoError: There is no such stream, or no frame can be decoded.
    """
    with open_container(path) as container:
        stream = best_stream(container, path, wanted_stream)
        prepare(container, stream, num_threads=1)
        context = stream.codec_context
        table = read_index(path, container, stream) if trusts_index else None
        recorder = PacketRecorder(context)
        has_old_faults = False
        first = _FirstFrame(context)
        for number, packet in read_packets(container, stream):
            pulse.beat()
            if number == 0:
                has_old_faults = comes_from_old_encoder(context, packet)
            if table is None:
                recorder.add(packet)
            elif not table.agrees(number, packet):
                return None
            first.feed(packet)
            if table is not None and first.frame is not None:
                break
        first.feed(None)
        if first.frame is None:
            raise UnreadableVideoError(
                f"{path}: the file has a video stream but no frame of it can be decoded."
            )
        structure = read_structure(path, container.format.name)
        return Scan(
            facts=_read_facts(path, container, stream, first.frame),
            table=recorder.table(stream.time_base) if table is None else table,
            first_frame=first.frame,
            has_errors=first.has_errors,
            is_broken_off=structure.is_broken_off,
            declared_seconds=_declared_seconds(container, stream, structure),
            stream_index=stream.index,
            time_base=stream.time_base,
            rate=nominal_rate(stream),
            reorders=bool(context.has_b_frames),
            # AVI stores no presentation times; FFmpeg guesses them from the order
            # of decoding, which is wrong where the two orders differ.
            has_invented_times=(
                container.format.name == "avi" and bool(context.has_b_frames)
            ),
            has_key_index=container.format.name in _FORMATS_WITH_KEY_INDEX,
            marks_unreferenced=marks_unreferenced_frames(context),
            has_old_faults=has_old_faults,
        )


def _read_facts(path: VideoFile, container: Any, stream: Any, frame: Any) -> FileFacts:
    """Note what a file says of itself while it is open."""
    context = stream.codec_context
    films = film_streams(container)
    return FileFacts(
        container=container.format.name,
        metadata=dict(container.metadata),
        codec=context.name,
        profile=context.profile,
        pixel_format=frame.format.name,
        bit_depth=max((c.bits for c in frame.format.components), default=8),
        pixel_aspect_ratio="{}:{}".format(
            *(context.sample_aspect_ratio or Fraction(1)).as_integer_ratio()
        ),
        transfer=int(context.color_trc or 0),
        late_seconds=_late_seconds(container, stream, frame),
        declared_frame_count=stream.frames,
        video_streams=len(films),
        video_stream_numbers=tuple(film.index for film in films),
        shown_stream=best_stream(container, path).index,
        cover_pictures=len(container.streams.video) - len(films),
        audio_streams=len(container.streams.audio),
    )


def _late_seconds(container: Any, stream: Any, frame: Any) -> float:
    """Measure how long a file runs before its first frame is shown."""
    if frame.pts is None:
        return 0.0
    begin = (container.start_time or 0) / av.time_base
    return round(max(0.0, float(frame.pts * stream.time_base) - begin), 6)


class _FirstFrame:
    """Decode until the first frame comes."""

    def __init__(self, context: Any) -> None:
        self.frame: Any | None = None
        self.has_errors = False
        self._context = context

    def feed(self, packet: Any | None) -> None:
        """Decode a packet, or drain the decoder, unless the frame is there."""
        if self.frame is not None:
            return
        frames, succeeded = decode(self._context, packet)
        self.has_errors |= not succeeded
        self.frame = frames[0] if frames else None


def _declared_seconds(container: Any, stream: Any, structure: FileStructure) -> float:
    """Read the length that a stream, not the file, declares; 0 if it does not.

    Matroska notes the end on the clock of the file, from which a late picture starts,
    and copies the note into each part when a file is split: only a file whose end is
    missing is measured by it.
    """
    formats = container.format.name.split(",")
    if structure.is_streamed or not stream.time_base:
        return 0.0
    if "mp4" in formats:
        return float((stream.duration or 0) * stream.time_base)
    origin = (container.start_time or 0) / av.time_base
    start = float((stream.start_time or 0) * stream.time_base)
    if "matroska" not in formats:
        end = float((stream.duration or 0) * stream.time_base)
        return max(0.0, end - max(0.0, start - origin))
    if not structure.is_broken_off:
        return 0.0
    end = _tagged_seconds(stream) or (container.duration or 0) / av.time_base
    return max(0.0, end - start)


def _tagged_seconds(stream: Any) -> float:
    """Read the tag of Matroska that says where a stream ends, 0 if there is none."""
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0


def nominal_rate(stream: Any) -> Fraction:
    """Choose a frame rate for where the file gives no times: the codec's own first."""
    rate: Fraction | None = stream.codec_context.framerate
    if rate and 1 <= rate <= 240:
        return rate
    return stream.average_rate or stream.guessed_rate or Fraction(25)
