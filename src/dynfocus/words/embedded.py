"""Subtitles inside a video file: its text streams, read through PyAV."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import av

from dynfocus.errors import UnreadWordsWarning
from dynfocus.text import plural
from dynfocus.video import VideoFile, VideoReader
from dynfocus.video.confinement import current_confinement
from dynfocus.video.container import open_container
from dynfocus.words.cues import Cue, keep_cues
from dynfocus.words.timed_text import TimedText

_TEXT_CODECS = {"ass", "mov_text", "ssa", "srt", "subrip", "text", "webvtt"}
_NUM_FIELDS = 9  # before the text of a line of ass: read order, layer, style, name ...
_LONGEST_SECONDS = 10.0  # of a text whose file does not say how long it is shown


def read_embedded(video: VideoReader) -> list[TimedText]:
    """Read the text streams of a video file.

    Subtitles that are pictures are not read, with a warning.

    Args:
        video: The video.

    Returns:
        Texts of all streams by their start, each in its language and none twice.
    """
    facts = {
        "duration": video.duration,
        "late_seconds": video.timeline.facts.late_seconds,
    }
    confinement = current_confinement()
    if confinement is None:
        found, num_pictures = _read_streams(video.path, **facts)
    else:
        told = confinement.call(video.path, f"{__name__}:tell_streams", **facts)
        found = [TimedText(**text) for text in told["texts"]]
        num_pictures = told["num_pictures"]
    if num_pictures:
        warnings.warn(
            f"{video.path}: {plural(num_pictures, 'stream')} of subtitles in it are "
            "pictures, or of a kind that is not read; name a file with --subtitles",
            UnreadWordsWarning,
            stacklevel=2,
        )
    return sorted(dict.fromkeys(found), key=lambda one: (one.start, one.end))


def tell_streams(path: VideoFile, **facts: float) -> dict[str, Any]:
    """Read the text streams of a file, as data that another process can be told."""
    found, num_pictures = _read_streams(path, **facts)
    return {"texts": [asdict(text) for text in found], "num_pictures": num_pictures}


def _read_streams(
    path: VideoFile, *, duration: float, late_seconds: float
) -> tuple[list[TimedText], int]:
    """Read the text streams of a file, and count those that are pictures."""
    with open_container(path) as container:
        is_text = {
            stream.index: stream.codec_context is not None
            and stream.codec_context.name in _TEXT_CODECS
            for stream in container.streams.subtitles
        }
    found = [
        text
        for index, is_read in is_text.items()
        if is_read
        for text in _read(path, index, duration, late_seconds)
    ]
    return found, len(is_text) - sum(is_text.values())


def _read(
    path: VideoFile, index: int, duration: float, late_seconds: float
) -> list[TimedText]:
    """Read one text stream."""
    with open_container(path) as container:
        stream = next(s for s in container.streams if s.index == index)
        for other in container.streams:
            if other.index != index and getattr(other, "discard", None) is not None:
                other.discard = av.stream.Discard.all
        return keep_cues(
            _cues_of(container, stream),
            f"{path}, stream {index}",
            source="subtitle",
            duration=duration,
            late_seconds=late_seconds,
            language=stream.metadata.get("language") or None,
        )


def _cues_of(container: Any, stream: Any) -> Iterator[Cue]:
    """Decode the packets of a text stream; what cannot be decoded is left out."""
    begin = (container.start_time or 0) / av.time_base
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            return
        if packet is None:
            return
        if packet.pts is None or not packet.size:
            continue
        start = max(float(packet.pts * packet.time_base) - begin, 0.0)
        length = float((packet.duration or 0) * packet.time_base)
        for text, speaker in _texts_of(packet):
            yield Cue(start, start + (length or _LONGEST_SECONDS), text, speaker)


def _texts_of(packet: Any) -> Iterator[tuple[str, str | None]]:
    try:
        rects = [rect for part in packet.decode() for rect in _rects_of(part)]
    except (av.error.FFmpegError, UnicodeDecodeError):
        return
    for rect in rects:
        line = getattr(rect, "ass", b"")
        line = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
        fields = line.split(",", _NUM_FIELDS - 1)
        if len(fields) == _NUM_FIELDS:
            yield fields[-1], fields[3].strip() or None


def _rects_of(part: Any) -> Any:
    return getattr(part, "rects", [part])
