"""The process that decodes one file of a stranger: its limits, its jobs, its end.

It is started by `dynfocus.video.confinement`, takes jobs, which it trusts, and tells what
it finds as bytes that are not trusted.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from numpy.typing import NDArray

from dynfocus.errors import DynFocusError, UnreadableVideoError, VideoLimitError
from dynfocus.text import plural
from dynfocus.video.collecting import FrameCollector
from dynfocus.video.container import best_stream, open_container
from dynfocus.video.decoder import collect_frames
from dynfocus.video.exchange import pack, pack_timeline
from dynfocus.video.files import VideoFile
from dynfocus.video.timeline import Timeline, open_timeline
from dynfocus.video.watchdog import available_cores

if TYPE_CHECKING:
    from dynfocus.video.decode_limits import DecodeLimits

_FORMATS = {
    "avi": "AVI",
    "flv": "FLV",
    "gif": "GIF",
    "asf": "WMV",
    "matroska,webm": "Matroska and WebM",
    "mov,mp4,m4a,3gp,3g2,mj2": "MP4 and QuickTime",
    "mpeg": "MPEG",
    "mpegts": "MPEG-TS",
    "ogg": "Ogg",
}
"""What strangers may send, by FFmpeg's name; all else is told apart by no sure sign, or
opens other files, or is seldom used and so seldom checked."""
_MOST_FILES = 64
_NICENESS = 3
_NO_MEMORY = "decoding it takes more memory than is allowed"

Tell = Callable[[bytes], None]


def main() -> None:
    """Do the jobs that come from the pipe that the command line names."""
    connection = Connection(int(sys.argv[1]))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(_NICENESS)  # who answers comes first
    av.logging.set_level(None)
    tell = partial(_tell, connection, threading.Lock())
    is_limited = False
    try:
        while True:
            name, path, job, limits = connection.recv()
            if not is_limited:
                _limit(limits)
                is_limited = True
            tell(_result(name, path, job, limits, tell))
    except (EOFError, ConnectionError):
        os._exit(0)  # nobody waits for more; threads that are stuck are left behind


def _result(
    name: str, path: VideoFile, job: dict[str, Any], limits: DecodeLimits, tell: Tell
) -> bytes:
    """Do a job, and tell what went wrong by its name and in its words."""
    try:
        _JOBS[name](path, limits, tell, **job)
    except (DynFocusError, FileNotFoundError, ValueError) as error:
        return _failure(error)
    except Exception as error:  # noqa: BLE001 the edge of a process
        if isinstance(error, MemoryError) or "new thread" in str(error):
            return _failure(VideoLimitError(f"{path}: {_NO_MEMORY}."))
        text = f"{path}: the file cannot be decoded ({type(error).__name__})."
        return _failure(UnreadableVideoError(text))
    return pack("done", {})


def _failure(error: Exception) -> bytes:
    return pack("failed", {"error": type(error).__name__, "text": str(error)})


def _tell(connection: Connection, lock: threading.Lock, message: bytes) -> None:
    with lock:
        connection.send_bytes(message)


def _end_with_parent() -> None:
    """End when the other end of the standard input does, however that ends."""
    os.read(0, 1)
    os._exit(1)


def _limit(limits: DecodeLimits) -> None:
    """Take from this process what it does not need."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MOST_FILES, _MOST_FILES))
    cpu_seconds = int(limits.decode_seconds * available_cores()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    most = _address_space() + limits.memory_bytes
    if sys.platform == "linux":  # macOS knows the limit and does not keep it
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _address_space() -> int:
    """Give what the process has now, in bytes."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 2**30


def _open(path: VideoFile, limits: DecodeLimits, tell: Tell, **how: Any) -> None:
    """Learn the packets of a video that is one by its content and not too large."""
    _check_content(path, limits, how.get("wanted_stream"))
    timeline = open_timeline(path, **how)
    _check_timeline(path, timeline, limits)
    tell(pack_timeline(timeline))


def _check_content(path: VideoFile, limits: DecodeLimits, wanted: int | None) -> None:
    """Look at what FFmpeg sees in a file before any of it is decoded."""
    with open_container(path) as container:
        if container.format.name not in _FORMATS:
            raise UnreadableVideoError(
                f"{path}: by its content this is {container.format.name}, and videos of "
                f"these kinds are taken: {', '.join(sorted(_FORMATS.values()))}."
            )
        context = best_stream(container, path, wanted).codec_context
        _check_pixels(path, context.height, context.width, limits)


def _check_pixels(
    path: VideoFile, height: int, width: int, limits: DecodeLimits
) -> None:
    if height * width > limits.max_pixels_per_frame:
        raise VideoLimitError(
            f"{path}: its pictures are {width}x{height}, and "
            f"{limits.max_pixels_per_frame:,} pixels are allowed."
        )


def _check_timeline(path: VideoFile, timeline: Timeline, limits: DecodeLimits) -> None:
    _check_pixels(path, *timeline.size, limits)
    if timeline.duration > limits.max_seconds:
        raise VideoLimitError(
            f"{path}: the video has {timeline.duration:,.0f} s, and "
            f"{limits.max_seconds:,.0f} s are allowed."
        )
    num_frames = max(timeline.num_frames, len(timeline.packet_pts))
    if num_frames > limits.max_frames:
        raise VideoLimitError(
            f"{path}: the video has {plural(num_frames, 'frame')}, and "
            f"{limits.max_frames:,} are allowed."
        )


def _collect(
    path: VideoFile,
    limits: DecodeLimits,
    tell: Tell,
    *,
    timeline: Timeline,
    indices: NDArray[np.int64],
    size: tuple[int, int],
    crew: Any,
) -> None:
    """Decode wanted frames, and tell each one when it is there."""

    def hand_over(slots: NDArray[np.int64], picture: NDArray[np.uint8]) -> None:
        tell(pack("kept", {}, slots=slots, picture=np.ascontiguousarray(picture)))

    collector = FrameCollector(timeline, indices, size, None, hand_over)
    collect_frames(path, collector, crew)
    tell(pack("end", {"has_errors": collector.has_errors}, **collector.outcome()))


def _read_image(path: VideoFile, limits: DecodeLimits, tell: Tell) -> None:
    """Read a picture whose size is allowed."""
    from PIL import Image  # seldom needed

    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, and the head is read before
    try:
        with path.open("rb") as file, Image.open(file) as opened:
            _check_pixels(path, opened.height, opened.width, limits)
            picture = np.asarray(opened.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableVideoError(
            f"{path}: this is no image that can be read; give PNG, JPEG or WebP."
        ) from error
    tell(pack("image", {}, picture=picture))


def _call(
    path: VideoFile, limits: DecodeLimits, tell: Tell, *, function: str, given: Any
) -> None:
    """Let a function of another room read the file; it gives what JSON can hold."""
    module, _, name = function.partition(":")
    value = getattr(import_module(module), name)(path, **given)
    tell(pack("value", {"value": value}))


_JOBS: dict[str, Callable[..., None]] = {
    "open": _open,
    "call": _call,
    "collect": _collect,
    "image": _read_image,
}
