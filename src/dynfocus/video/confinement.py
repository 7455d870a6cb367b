"""Decode files of strangers in processes of their own, within limits.

A file that makes a decoder run wild, take all memory or crash ends such a process and
nothing else. Each file has a fresh one, which sees none of the environment and no other
file that is open. It stays for a while, in case more of its file is wanted; and one waits
ready for the next file, since Python takes a while to start.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dynfocus.errors import (
    StuckVideoError,
    UnreachableVideoError,
    UnreadableVideoError,
    VideoLimitError,
)
from dynfocus.video.collecting import FrameCollector
from dynfocus.video.container import check_file
from dynfocus.video.decoder import Crew, DisorderedTimesError
from dynfocus.video.exchange import nonsense, read_timeline_message, unpack
from dynfocus.video.files import VideoFile, size_of
from dynfocus.video.remote import RemoteFile
from dynfocus.video.seeking import MistrustedIndexError
from dynfocus.video.timeline import Timeline

if TYPE_CHECKING:
    from dynfocus.video.decode_limits import DecodeLimits

_ERRORS: dict[str, type[Exception]] = {
    each.__name__: each
    for each in (
        DisorderedTimesError,
        FileNotFoundError,
        MistrustedIndexError,
        StuckVideoError,
        UnreachableVideoError,
        UnreadableVideoError,
        ValueError,
        VideoLimitError,
    )
}
Values: TypeAlias = dict[str, Any]
Arrays: TypeAlias = dict[str, NDArray[Any]]
_Key: TypeAlias = tuple[str, int, int, int]
_KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
_TICK_SECONDS = 0.05
_MOST_IDLE = 4
"""Processes that stay for more of their files."""
_PROGRAM = "from dynfocus.video.confined import main; main()"


class Confinement:
    """Open files, decode frames and read images in processes that may be killed.

    Args:
        limits: What a file may be and take.

    Raises:
        OSError: The system cannot limit processes, as Windows cannot.
    """

    def __init__(self, limits: DecodeLimits) -> None:
        if sys.platform == "win32":
            raise OSError(
                "files of strangers are decoded within limits on Linux and macOS only; "
                "run the server there"
            )
        self.limits = limits
        self._room = threading.BoundedSemaphore(limits.max_processes)
        self._lock = threading.Lock()
        self._spare: _Process | None = None
        self._idle: OrderedDict[_Key, _Process] = OrderedDict()
        self._busy: set[_Process] = set()
        self._is_closed = False
        self._copies: weakref.WeakKeyDictionary[RemoteFile, _Copy] = (
            weakref.WeakKeyDictionary()
        )

    def open_timeline(
        self, path: VideoFile, *, timeout_seconds: float | None, **how: Any
    ) -> Timeline:
        """Do what `timeline.open_timeline` does, after checking what the file is.

        Raises:
            VideoLimitError: The video is more than the limits allow.
        """
        found: list[Timeline] = []

        def take(values: Values, arrays: Arrays) -> None:
            found.append(read_timeline_message(values, arrays))

        job = {"timeout_seconds": timeout_seconds, **how}
        self._run("open", path, job, {"timeline": take})
        if not found:
            raise nonsense()
        return found[0]

    def collect_frames(
        self, path: VideoFile, collector: FrameCollector, crew: Crew
    ) -> None:
        """Do what `decoder.collect_frames` does; progress is told as it is made."""

        def keep(values: Values, arrays: Arrays) -> None:
            collector.frames[arrays["slots"]] = arrays["picture"]
            collector.is_kept[arrays["slots"]] = True

        def end(values: Values, arrays: Arrays) -> None:
            collector.take_over(arrays, bool(values["has_errors"]))

        job = {
            "timeline": collector.timeline,
            "indices": collector.indices,
            "size": collector.size,
            "crew": crew,
        }
        self._run(
            "collect", path, job, {"kept": keep, "end": end}, on_tick=collector.report
        )
        collector.report()

    def read_image(self, path: VideoFile) -> NDArray[np.uint8]:
        """Read an image file.

        Returns:
            The picture, ``[H, W, 3]``.

        Raises:
            UnreadableVideoError: It is no image.
            VideoLimitError: It has too many pixels.
        """
        found: list[NDArray[np.uint8]] = []

        def take(values: Values, arrays: Arrays) -> None:
            found.append(arrays["picture"])

        self._run("image", path, {}, {"image": take})
        if not found:
            raise nonsense()
        return found[0]

    def call(self, path: VideoFile, function: str, **given: Any) -> Any:
        """Let a function read a file there.

        Args:
            path: The file.
            function: Its module and name, ``module:name``; it takes the file first, and
                gives what JSON can hold.
            given: Its other arguments.

        Raises:
            UnreadableVideoError: The file cannot be read so.
        """
        found: list[Any] = []

        def take(values: Values, arrays: Arrays) -> None:
            found.append(values["value"])

        self._run("call", path, {"function": function, "given": given}, {"value": take})
        if not found:
            raise nonsense()
        return found[0]

    def close(self) -> None:
        """End all processes; whoever waits for one at work is told that it ended."""
        with self._lock:
            self._is_closed = True
            waiting = [*self._idle.values(), *filter(None, [self._spare])]
            self._spare = None
            self._idle.clear()
            for process in self._busy:
                process.kill()
        for process in waiting:
            process.end()

    def _run(
        self,
        name: str,
        path: VideoFile,
        job: dict[str, Any],
        takers: dict[str, Callable[[Values, Arrays], None]],
        on_tick: Callable[[], None] | None = None,
    ) -> None:
        """Let a process do a job, and take what it tells until it says that it ended."""
        file = self._local(path)
        key = _key_of(file)
        with self._room:
            process = self._take(key, path)
            try:
                # Plain, since pydantic would take a third of the start of a process.
                plain = SimpleNamespace(**asdict(self.limits))
                process.send((name, file, job, plain))
                _listen(process, file, path, self.limits, takers, on_tick)
            finally:
                self._put_back(key, process)

    def _local(self, path: VideoFile) -> Path:
        """Give a file on a disk that is not too long; one at an address is copied."""
        check_file(path)
        num_bytes = size_of(path)
        if num_bytes > self.limits.max_bytes:
            raise VideoLimitError(
                f"{path}: the file has {num_bytes:,} bytes, and {self.limits.max_bytes:,} "
                "are allowed."
            )
        if isinstance(path, Path):
            return path
        with self._lock:
            copy = self._copies.setdefault(path, _Copy())
        return copy.of(path)

    def _take(self, key: _Key, path: VideoFile) -> _Process:
        """Take the process of a file, or the one that waits, which another one replaces.

        Raises:
            UnreadableVideoError: There are to be no more.
        """
        with self._lock:
            if self._is_closed:
                raise UnreadableVideoError(
                    f"{path} was not read, since the work on videos is being ended"
                )
            process = self._idle.pop(key, None)
            if process is None:
                process, self._spare = self._spare, _Process()
            if process is None or not process.is_alive:
                if process is not None:
                    process.end()
                process = _Process()
            process.is_free = False
            self._busy.add(process)
        return process

    def _put_back(self, key: _Key, process: _Process) -> None:
        """Let a process wait for more of its file, if it is sound and not worn."""
        process.seconds += time.monotonic() - process.began_seconds
        surplus: list[_Process] = []
        with self._lock:
            self._busy.discard(process)
            is_worn = process.seconds > self.limits.decode_seconds / 2
            if process.is_free and not is_worn and not self._is_closed:
                surplus += filter(None, [self._idle.pop(key, None)])
                self._idle[key] = process
                while len(self._idle) > _MOST_IDLE:
                    surplus.append(self._idle.popitem(last=False)[1])
            else:
                surplus.append(process)
        for one in surplus:
            one.end()


def _key_of(file: Path) -> _Key:
    """Tell a file, and this content of it, from all others."""
    status = file.stat()
    return str(file), status.st_ino, status.st_size, status.st_mtime_ns


_current: list[Confinement] = []


@contextmanager
def confining(limits: DecodeLimits) -> Iterator[Confinement]:
    """Decode all files that this process opens meanwhile in processes of their own.

    It holds for every thread, so nothing that opens a file need know of it.

    Args:
        limits: What a file may be and take.

    Yields:
        What holds the processes.
    """
    confinement = Confinement(limits)
    _current.append(confinement)
    try:
        yield confinement
    finally:
        _current.remove(confinement)
        confinement.close()


def current_confinement() -> Confinement | None:
    """Give the confinement that holds now; None if files are decoded right here."""
    return _current[-1] if _current else None


class _Copy:
    """A file of an address on the disk, which goes with the object that stands for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None

    def of(self, remote: RemoteFile) -> Path:
        """Give the copy, made at the first call.

        Raises:
            UnreachableVideoError: It cannot be fetched.
        """
        with self._lock:
            if self._file is None:
                make: Any = tempfile.TemporaryFile
                if sys.platform != "linux":  # only there has a nameless file a path
                    make = tempfile.NamedTemporaryFile
                copy: IO[bytes] = make(prefix="dynfocus-")
                weakref.finalize(remote, copy.close)
                with remote.open() as source:
                    shutil.copyfileobj(source, copy, 2**20)
                copy.flush()
                self._file = copy
            if sys.platform != "linux":
                return Path(self._file.name)
            return Path(f"/proc/{os.getpid()}/fd/{self._file.fileno()}")


class _Process:
    """A fresh process that waits for jobs with one file."""

    def __init__(self) -> None:
        self.is_free = False
        self.seconds = 0.0
        self.began_seconds = 0.0
        self._connection, theirs = Pipe()
        environment = {n: os.environ[n] for n in _KEPT_ENVIRONMENT if n in os.environ}
        environment |= {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "MALLOC_ARENA_MAX": "2",  # each would take address space
        }
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-c", _PROGRAM, str(theirs.fileno())],
                stdin=subprocess.PIPE,  # whose end is the end of this process
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=environment,
                start_new_session=True,  # Ctrl-C is ours to hear
            )

    @property
    def is_alive(self) -> bool:
        """Tell whether it did not end."""
        return self._process.poll() is None

    @property
    def connection(self) -> Connection:
        """Where it tells."""
        return self._connection

    def send(self, job: Any) -> None:
        """Give it a job."""
        self.began_seconds = time.monotonic()
        try:
            self._connection.send(job)
        except OSError:  # its end shows when it is listened to
            return

    def kill(self) -> None:
        """Kill it; whoever listens to it hears that."""
        self._process.kill()

    def end(self) -> int:
        """Kill it, and give its exit code."""
        self._process.kill()
        code = self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._connection.close()
        return code


def _listen(
    process: _Process,
    file: Path,
    path: VideoFile,
    limits: DecodeLimits,
    takers: dict[str, Callable[[Values, Arrays], None]],
    on_tick: Callable[[], None] | None,
) -> None:
    """Hand over what a process tells until its job is done.

    Args:
        process: What has the job.
        file: The file that it reads.
        path: How the file is called by those who asked for it.
        limits: What it may take.
        takers: What to do with each kind of message.
        on_tick: Called several times a second.

    Raises:
        VideoLimitError: It takes too long, or it was ended for what it took.
        UnreadableVideoError: It crashed, or tells nonsense.
    """
    end = time.monotonic() + limits.decode_seconds
    while True:
        if time.monotonic() > end:
            raise VideoLimitError(
                f"{path}: decoding it takes more than the {limits.decode_seconds:g} s that "
                "are allowed."
            )
        if on_tick is not None:
            on_tick()
        if not process.connection.poll(_TICK_SECONDS):
            continue
        try:
            kind, values, arrays = unpack(process.connection.recv_bytes())
        except (EOFError, OSError):
            raise _ended(path, process.end()) from None
        process.is_free = kind in ("done", "failed")
        if kind == "done":
            return
        if kind == "failed":
            process.is_free = values["error"] != StuckVideoError.__name__
            text = str(values["text"]).replace(str(file), str(path))
            raise _ERRORS.get(str(values["error"]), UnreadableVideoError)(text)
        try:
            takers[kind](values, arrays)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise nonsense() from error


def _ended(path: VideoFile, code: int) -> UnreadableVideoError:
    """Say why a process ended before its job was done."""
    if -code in (signal.SIGKILL, signal.SIGXCPU):
        return VideoLimitError(
            f"{path}: decoding it took more memory or time than is allowed."
        )
    return UnreadableVideoError(
        f"{path}: the decoder crashed on this file (exit code {code}); convert it to H.264 in MP4."
    )
