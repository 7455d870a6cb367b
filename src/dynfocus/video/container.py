"""Open a file with FFmpeg and read the packets of its video stream."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import av

from dynfocus.errors import UnreadableVideoError
from dynfocus.video.files import VideoFile
from dynfocus.video.remote import RemoteFile

# Demuxers that take a text for a film.
_TEXT_FORMATS = {"tty", "bin", "xbin", "adf", "idf"}
# Demuxers of files that make FFmpeg open others: playlists, scripts, numbered pictures,
# recordings in several parts, addresses of streams.
_FORMATS_OF_SEVERAL_FILES = {
    "alias_pix",
    "avisynth",
    "concat",
    "dash",
    "hls",
    "imf",
    "lavfi",
    "mlv",
    "rtp",
    "rtsp",
    "sap",
    "sdp",
    "svg_pipe",
    "vapoursynth",
    "vobsub",
    "webm_dash_manifest",
}
FORMATS_OF_STREAMS = "rtp,rtsp,sap,sdp"
SINGLE_FILE = {
    "format_whitelist": ",".join(
        sorted(av.formats_available - _FORMATS_OF_SEVERAL_FILES)
    ),
    "protocol_whitelist": "file,pipe",
    "pattern_type": "none",  # a picture is one file, whatever its name
}
"""FFmpeg's options for reading a file that opens no other."""

NOT_A_SINGLE_FILE = (
    "this is no video in one file; playlists, scripts and whatever else names other "
    "files are not read"
)


def check_file(path: VideoFile) -> None:
    """Refuse what is not a readable, non-empty file, each with its own sentence."""
    if isinstance(path, RemoteFile):
        if not path.num_bytes:
            raise UnreadableVideoError(f"{path}: the file is empty; copy it again.")
        return
    if path.is_dir():
        raise UnreadableVideoError(
            f"{path}: this is a folder; give the path of a video file."
        )
    if path.exists() and not path.is_file():
        raise UnreadableVideoError(
            f"{path}: this is a pipe or a device, which cannot be read by time; "
            "write it to a file first."
        )
    try:
        with path.open("rb") as stream:
            is_empty = not stream.read(1)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path}: there is no such file; check the path."
        ) from error
    except OSError as error:
        raise UnreadableVideoError(
            f"{path}: the file cannot be read: {error.strerror}."
        ) from error
    if is_empty:
        raise UnreadableVideoError(f"{path}: the file is empty; copy it again.")


@contextmanager
def open_container(path: VideoFile) -> Iterator[Any]:
    """Open a file for reading, or say in one sentence that it is no video."""
    if isinstance(path, RemoteFile):
        with path.opened() as file, _open(path, file, refuse_to_open) as container:
            yield container
        return
    # The prefix keeps a colon in the name from being read as a protocol.
    with _open(path, f"file:{path}", None) as container:
        yield container


def _open(path: VideoFile, target: Any, io_open: Any) -> Any:
    try:
        return av.open(target, options=SINGLE_FILE, io_open=io_open)
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        if isinstance(path, RemoteFile) and path.kind == "text/html":
            raise UnreadableVideoError(
                f"{path}: this is a web page, not a video; give the address of the file "
                "itself, or download the video with a program for that site."
            ) from error
        if getattr(error, "errno", None) == errno.EINVAL:
            raise UnreadableVideoError(f"{path}: {NOT_A_SINGLE_FILE}.") from error
        raise UnreadableVideoError(
            f"{path}: this is not a video that FFmpeg can open, or its index is "
            f"missing because the file is cut off ({_reason(error)})."
        ) from error


def refuse_to_open(*_: object) -> NoReturn:
    """Open nothing for FFmpeg.

    Raises:
        UnreadableVideoError: Always.
    """
    raise UnreadableVideoError("a file names another, which is not opened.")


def film_streams(container: Any) -> list[Any]:
    """List the video streams, without cover pictures."""
    attached_picture = av.stream.Disposition.attached_pic
    return [
        stream
        for stream in container.streams.video
        if not stream.disposition & attached_picture
    ]


def best_stream(
    container: Any, path: VideoFile | str, wanted: int | None = None
) -> Any:
    """Choose the video stream that a player would show, never a cover picture.

    Args:
        container: The open file.
        path: How to call it.
        wanted: Number of the stream in the file, in place of the player's choice.

    Raises:
        UnreadableVideoError: There is no such stream, or none that can be decoded.
    """
    if container.format.name in _TEXT_FORMATS:
        raise UnreadableVideoError(f"{path}: this is a text file, not a video.")
    films = film_streams(container)
    if not films:
        kinds = sorted({stream.type for stream in container.streams})
        raise UnreadableVideoError(
            f"{path}: the file holds no video stream, only {', '.join(kinds)}."
            if kinds
            else f"{path}: the file holds no video stream."
        )
    best = container.streams.best("video")
    stream = best if best in films else films[0]
    if wanted is not None:
        numbers = {film.index: film for film in films}
        if wanted not in numbers:
            raise UnreadableVideoError(
                f"{path}: there is no video stream {wanted}; the file has "
                f"{', '.join(map(str, numbers))}."
            )
        stream = numbers[wanted]
    if stream.codec_context is None:
        raise UnreadableVideoError(
            f"{path}: this build of FFmpeg has no decoder for the file's video; "
            "convert it to H.264."
        )
    return stream


def prepare(
    container: Any, stream: Any, *, num_threads: int, is_strict: bool = False
) -> None:
    """Set up a stream's decoder before the first packet, and read that stream only.

    Args:
        container: The open file.
        stream: The stream to decode.
        num_threads: Threads of the decoder.
        is_strict: Whether damage is an error instead of being painted over in silence.
    """
    context = stream.codec_context
    context.thread_type = "AUTO" if num_threads > 1 else "NONE"
    context.thread_count = num_threads
    if is_strict:
        context.options = {"err_detect": "explode"}
    for other in container.streams:
        # PyAV lets packets be left unread from version 17.1 on.
        if other.index != stream.index and getattr(other, "discard", None) is not None:
            other.discard = av.stream.Discard.all


def read_packets(container: Any, stream: Any) -> Iterator[tuple[int, Any]]:
    """Yield the stream's packets in file order, each with its number from 0.

    Reading is repeatable: the same packet has the same number in every pass. A
    reading error ends the packets, as the end of a cut file does.
    """
    number = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        if packet.size:
            yield number, packet
            number += 1


def decode(context: Any, packet: Any | None) -> tuple[list[Any], bool]:
    """Decode one packet, or drain the decoder, and tell whether it succeeded."""
    try:
        return context.decode(packet), True
    except av.error.FFmpegError:
        return [], False


def _reason(error: Exception) -> str:
    """Give FFmpeg's own words for an error."""
    if isinstance(error, av.error.FFmpegError) and error.strerror:
        return error.strerror
    return str(error)
