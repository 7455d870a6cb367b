"""What a video file is, what will be hard about it, and whether it decodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from dynfocus.text import plural
from dynfocus.video.decoder import plan_stretches
from dynfocus.video.files import VideoName, size_of
from dynfocus.video.plan import wanted_times
from dynfocus.video.reader import VideoReader
from dynfocus.video.scan import FileFacts
from dynfocus.video.timeline import Timeline
from dynfocus.video.trial import try_frames

# Key frames further apart than this make single frames expensive.
_LONG_GAP_SECONDS = 10.0
# Players and we count from the same moment but for this much.
_LATE_SECONDS = 0.1
_HIGH_DYNAMIC_RANGE = {16: "PQ", 18: "HLG"}  # AVColorTransferCharacteristic


@dataclass(frozen=True, kw_only=True)
class VideoProbe:
    """What a file is, and what that means for sampling it."""

    path: str
    """The file."""
    stream: int
    """Number of the video stream that was read."""
    facts: FileFacts
    """What it says of itself."""
    size: tuple[int, int]
    """Height and width as displayed."""
    turned_degrees: int
    """How far the stored picture is turned clockwise to be displayed."""
    is_mirrored: bool
    """Whether it is mirrored too."""
    duration: float
    """Seconds, counted."""
    frame_count: int
    """Frames shown, counted."""
    hidden_frame_count: int
    """Packets that show nothing: before an edit list's start, or helpers of others."""
    fps: float
    """Average rate."""
    step_seconds: tuple[float, float]
    """Shortest and longest time from a frame to the next."""
    is_variable_rate: bool
    """Whether these differ by more than the rounding of times."""
    key_frame_count: int
    """Places where decoding can begin."""
    longest_key_gap_seconds: float
    """Longest time between two of them, or to the end."""
    file_bytes: int
    """Size of the file."""
    learned_by: str
    """How its frames were learned: ``index``, ``reading`` or ``decoding``."""
    is_seekable: bool
    """Whether the file can be entered at key frames."""
    leaves_out_unneeded: bool
    """Whether frames that no other needs can be left undecoded."""
    packets_for_64_frames: int
    """Packets on the way to 64 uniform frames."""
    tried_frame_count: int
    """Frames that were decoded to look for damage."""
    damage: str | None
    """What these showed of it; None if nothing."""
    is_interlaced: bool
    """Whether any of them holds two fields, a moment each."""
    stored_sizes: list[tuple[int, int]]
    """Their heights and widths as stored, in order of appearance."""
    difficulties: list[str]
    """What will be hard, a sentence each; empty for an easy file."""

    def to_dict(self) -> dict[str, Any]:
        """Return the probe as plain data for JSON, without groups."""
        values = asdict(self)
        return {**values.pop("facts"), **values}


def probe_video(
    video: VideoName | VideoReader,
    *,
    stream: int | None = None,
    is_full: bool = False,
    timeout_seconds: float | None = 60.0,
    progress: Callable[[int, int], None] | None = None,
) -> VideoProbe:
    """Find out what a video file is and what will be hard about it.

    Args:
        video: A video file, its address, or a reader that has it open.
        is_full: Decode every frame to look for damage, not a few key frames.
        stream: As for ``VideoReader``.
        timeout_seconds: As for ``VideoReader``.
        progress: Called with the number of frames decoded and in all.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableVideoError: The file holds no such stream, or none that can be decoded.
        UnreachableVideoError: An address cannot be read.
        StuckVideoError: Reading made no progress.
    """
    if not isinstance(video, VideoReader):
        video = VideoReader(video, stream=stream, timeout_seconds=timeout_seconds)
    trial = try_frames(video, is_full=is_full, progress=progress)
    timeline, facts = video.timeline, video.timeline.facts  # as decoding found them
    steps = np.diff(timeline.pts_seconds)
    steps = steps if len(steps) else np.array([timeline.duration])
    probe = VideoProbe(
        path=str(video.path),
        stream=timeline.stream_index,
        facts=facts,
        size=timeline.size,
        turned_degrees=-90 * timeline.orientation.quarter_turns % 360,
        is_mirrored=timeline.orientation.is_mirrored,
        duration=timeline.duration,
        frame_count=timeline.num_frames,
        hidden_frame_count=max(0, len(timeline.packet_pts) - timeline.num_frames),
        fps=video.fps,
        step_seconds=(float(steps.min()), float(steps.max())),
        # Times in milliseconds, as Matroska has them, are off by up to one.
        is_variable_rate=float(np.ptp(steps)) > 0.0021,
        key_frame_count=len(timeline.key_packets),
        longest_key_gap_seconds=_longest_key_gap(timeline),
        file_bytes=size_of(video.path),
        learned_by=_learned_by(timeline),
        is_seekable=timeline.is_seekable,
        leaves_out_unneeded=timeline.marks_unreferenced,
        packets_for_64_frames=_packets_for(timeline, 64),
        tried_frame_count=trial.num_frames,
        damage=trial.damage,
        is_interlaced=trial.num_interlaced > 0,
        stored_sizes=trial.sizes,
        difficulties=[],
    )
    difficulties = [
        *_hard_to_read(probe, timeline),
        *_hard_to_time(probe, timeline),
        *_hard_to_show(probe),
    ]
    return replace(probe, difficulties=difficulties)


def _learned_by(timeline: Timeline) -> str:
    if timeline.is_counted:
        return "decoding"
    return "index" if timeline.is_from_index else "reading"


def _longest_key_gap(timeline: Timeline) -> float:
    """Measure the longest time from a key frame to the next, or to the end."""
    is_key = np.isin(timeline.packets, timeline.key_packets)
    seconds = timeline.pts_seconds[is_key]
    return float(np.diff(seconds, append=timeline.duration, prepend=0.0).max())


def _packets_for(timeline: Timeline, num_frames: int) -> int:
    """Count the packets on the way to uniform frames."""
    wanted = wanted_times(timeline.duration, num_frames=num_frames)
    frames = np.searchsorted(timeline.pts_seconds, wanted, "right") - 1
    stretches = plan_stretches(timeline, [int(n) for n in np.unique(frames)], 0)
    return sum(stretch.stop - stretch.first for stretch in stretches)


def _hard_to_read(probe: VideoProbe, timeline: Timeline) -> Iterator[str]:
    """Say what costs time or frames."""
    megabytes = probe.file_bytes / 1e6
    if timeline.is_cut:
        declared = timeline.declared_duration
        is_longer = declared > timeline.duration
        of = f" of the {declared:.1f} s that it declares" if is_longer else ""
        yield (
            f"The file breaks off after {timeline.duration:.1f} s{of}; frames after "
            "that are missing."
        )
    num_broken = int((~timeline.is_intact).sum())
    if num_broken:
        yield (
            f"{plural(num_broken, 'frame')} cannot be told to be whole, for packets on "
            "the way are damaged or missing."
        )
    if probe.learned_by == "decoding":
        yield (
            "Its packets carry no usable times: opening decodes the whole file, and so "
            "does each sampling; convert it to MP4 to spare that."
        )
    elif not probe.is_seekable:
        yield (
            f"It has no index that can be trusted ({probe.facts.container}): opening and each "
            f"sampling read the file from its beginning ({megabytes:,.1f} MB)."
        )
    elif probe.learned_by == "reading":
        yield f"It has no index of all frames: opening reads {megabytes:,.1f} MB once."
    if probe.key_frame_count <= 1 < probe.frame_count:
        yield "It has one key frame: every frame needs all frames before it decoded."
    elif probe.longest_key_gap_seconds > _LONG_GAP_SECONDS:
        yield (
            f"Its key frames are up to {probe.longest_key_gap_seconds:.1f} s apart: a "
            "single frame may need that much decoded, and fast mode may be "
            f"{probe.longest_key_gap_seconds / 2:.1f} s off."
        )


def _hard_to_time(probe: VideoProbe, timeline: Timeline) -> Iterator[str]:
    """Say where frame numbers or headers would mislead."""
    if probe.is_variable_rate:
        shortest, longest = probe.step_seconds
        yield (
            f"Its frame rate varies, {1000 * shortest:.0f} to {1000 * longest:.0f} ms a "
            "frame: a frame's number does not give its time."
        )
    if probe.facts.declared_frame_count not in {0, probe.frame_count}:
        declared = plural(probe.facts.declared_frame_count, "frame")
        yield f"Its header declares {declared}; shown: {probe.frame_count:,}."
    if probe.hidden_frame_count and not timeline.is_counted:
        yield f"It has {plural(probe.hidden_frame_count, 'packet')} without a frame to show."
    late = probe.facts.late_seconds
    if late >= _LATE_SECONDS:
        yield (
            f"Its picture starts {late:.1f} s after the file does: players count from "
            f"there, so their times are {late:.1f} s more than those of frames."
        )
    if probe.facts.video_streams > 1:
        *others, last = map(str, probe.facts.video_stream_numbers)
        yield (
            f"It has {probe.facts.video_streams} video streams, numbers "
            f"{', '.join(others)} and {last}; number {probe.stream} is read."
        )


def _hard_to_show(probe: VideoProbe) -> Iterator[str]:
    """Say what happens to the picture."""
    if probe.is_interlaced:
        yield (
            "Its pictures are interlaced; frames hold both fields, so what moves has "
            "combed edges."
        )
    if len(probe.stored_sizes) > 1:
        sizes = ", ".join(f"{width}x{height}" for height, width in probe.stored_sizes)
        yield (
            f"The size of its pictures changes ({sizes}); all frames are stretched to "
            "that of the first."
        )
    if probe.turned_degrees:
        yield (
            f"Its picture is stored turned: {probe.turned_degrees} degrees clockwise make "
            "it upright; frames come upright."
        )
    if probe.is_mirrored:
        yield "Its picture is stored mirrored; frames come as displayed."
    aspect = probe.facts.pixel_aspect_ratio
    if aspect != "1:1":
        yield f"Its pixels are not square ({aspect}); frames keep the stored shape."
    if probe.facts.bit_depth > 8:
        yield f"It has {probe.facts.bit_depth} bits a colour; frames have 8."
    transfer = _HIGH_DYNAMIC_RANGE.get(probe.facts.transfer)
    if transfer:
        yield f"Its colours are high dynamic range ({transfer}) and look flat in frames."
