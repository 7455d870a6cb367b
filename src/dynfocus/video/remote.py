"""A file at an address, read by parts as if it lay on a disk."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
import threading
import time
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote

from dynfocus.errors import DynFocusWarning, UnreachableVideoError
from dynfocus.video.addresses import is_web_address, unsigned

if TYPE_CHECKING:
    from dynfocus.video.fetch_policy import FetchPolicy
    from dynfocus.video.fetching import Reply, Version

_BLOCK_BYTES = 256 * 1024
_MOST_BLOCKS = 128
"""Blocks kept in memory, 32 MiB."""
_MOST_AHEAD = 8
"""Blocks asked for at once where a file is read in order, 2 MiB."""
_QUICK_SECONDS = 1.0
"""More blocks are asked for at once while that takes no longer."""
_DIGEST_BYTES = 16
_PATIENT_BYTES = 64 * 2**20
"""A file that is fetched whole is told of once so much of it is there."""


class RemoteFile:
    """A file at an address of http or https, of which only the wanted parts are fetched.

    What was fetched is kept in memory, up to 32 MiB. Every part must be of the version
    of the file that the first one was of. A file whose server gives no parts is fetched
    whole into a temporary file without a name, which ends with this object or with the
    process. Several threads may read it at once.

    Args:
        address: The address. It may hold a log-in or a signature; they are not shown.
        policy: What may be fetched; by default `FetchPolicy` as it is.

    Raises:
        ValueError: This is no address of http or https.
    """

    def __init__(self, address: str, policy: FetchPolicy | None = None) -> None:
        from dynfocus.video.fetch_policy import FetchPolicy
        from dynfocus.video.fetching import Fetcher

        if not is_web_address(address):
            raise ValueError(
                f"an address must begin with http:// or https://, got {address!r}"
            )
        self._address = address
        self._fetcher = Fetcher(address, policy or FetchPolicy())
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._whole: IO[bytes] | None = None
        self._version: Version | None = None
        self._num_bytes = 0
        self._kind = ""
        self._identity: str | None = None
        self._num_open = 0
        self.progress: Callable[[int, int], None] | None = None
        """Called with bytes fetched and in all, while a file is fetched whole whose
        length is known."""
        weakref.finalize(self, self._fetcher.close)  # of a file that is never opened

    def __str__(self) -> str:
        return self._fetcher.shown

    def __repr__(self) -> str:
        return f"RemoteFile({str(self)!r})"

    @property
    def address(self) -> str:
        """The whole address, with what is not shown of it."""
        return self._address

    @property
    def name(self) -> str:
        """The last part of the address, as a file's name."""
        place = str(self).removesuffix("?...").split("://", 1)[1]
        return PurePosixPath(unquote(place)).name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.name).stem

    @property
    def num_bytes(self) -> int:
        """Its length.

        Raises:
            UnreachableVideoError: The address cannot be read.
        """
        self._learn()
        return self._num_bytes

    @property
    def kind(self) -> str:
        """What its server calls it, such as ``video/mp4``."""
        self._learn()
        return self._kind

    @property
    def identity(self) -> str | None:
        """What this version of the file goes by; None where its server names none.

        Of a file that had to be fetched whole it depends on the content alone, else on
        the address, the length, and the strong entity tag or the time of change.
        """
        self._learn()
        return self._identity

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open the file for reading, as `Path.open` does.

        Args:
            mode: ``"rb"``.

        Raises:
            UnreachableVideoError: The address cannot be read, also raised by reading.
        """
        assert mode == "rb"
        self._learn()
        return io.BufferedReader(_OpenFile(self), 64 * 1024)

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open the file for FFmpeg, to which a failure is the end of the file.

        An error inside of FFmpeg's calls would be printed, or come up in a later one.

        Raises:
            UnreachableVideoError: Something could not be read, raised at the end.
        """
        file = _OpenFile(self, holds_failure=True)
        with io.BufferedReader(file, 64 * 1024) as buffered:
            try:
                yield buffered
            finally:
                if file.failure is not None:
                    raise file.failure

    def count_open(self, change: int) -> None:
        """Note that it was opened or closed; nobody holds connections of a closed file."""
        with self._lock:
            self._num_open += change
            if self._num_open == 0:  # nobody sends requests: whoever opens it waits
                self._fetcher.close()

    def read_block(self, number: int, num_ahead: int) -> tuple[bytes, int]:
        """Read a block; if it has to be fetched, fetch those that follow as well.

        Args:
            number: Which block, from 0.
            num_ahead: How many to fetch at most.

        Returns:
            The block, and how many were fetched.
        """
        with self._lock:
            if self._whole is not None:
                self._whole.seek(number * _BLOCK_BYTES)
                return self._whole.read(_BLOCK_BYTES), 0
            known = self._blocks.get(number)
            if known is not None:
                self._blocks.move_to_end(number)
                return known, 0
            stop = number + 1
            while stop < number + num_ahead and stop not in self._blocks:
                stop += 1
        assert self._version is not None
        data = self._fetcher.read_part(
            number * _BLOCK_BYTES,
            min(stop * _BLOCK_BYTES, self._num_bytes),
            self._version,
        )
        self._keep(number, data)
        return data[:_BLOCK_BYTES], stop - number

    def _keep(self, number: int, data: bytes) -> None:
        """Remember blocks, and forget those that were used least recently."""
        with self._lock:
            for place in range(0, len(data), _BLOCK_BYTES):
                block = number + place // _BLOCK_BYTES
                self._blocks[block] = data[place : place + _BLOCK_BYTES]
                self._blocks.move_to_end(block)
            while len(self._blocks) > _MOST_BLOCKS:
                self._blocks.popitem(last=False)

    def _learn(self) -> None:
        """Send the first request, unless it was sent."""
        with self._lock:
            if self._version is not None:
                return
            with self._fetcher.request(0, _BLOCK_BYTES) as reply:
                self._take(reply)

    def _take(self, reply: Reply) -> None:
        version = reply.version
        num_bytes = version.num_bytes
        if reply.is_part and num_bytes is not None:
            data = b"".join(reply.chunks)
            if len(data) == min(num_bytes, _BLOCK_BYTES):
                self._blocks[0] = data
            named = f"{unsigned(self._address)} {reply.version_name}".encode()
            digest = hashlib.blake2b(named, digest_size=_DIGEST_BYTES).hexdigest()
            self._identity = None if reply.version_name is None else digest
        else:
            num_bytes, self._identity = self._fetch_whole(reply)
        self._num_bytes, self._kind = num_bytes, reply.kind
        self._version = version

    def _fetch_whole(self, reply: Reply) -> tuple[int, str]:
        """Write the file to the disk; its name goes at once, so nothing is left over."""
        expected, num_bytes = reply.version.num_bytes, 0
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if expected is not None and expected > free:
            raise self._no_room()
        whole: Any = tempfile.TemporaryFile()  # noqa: SIM115 it lives as long as this object
        weakref.finalize(self, whole.close)
        try:
            for chunk in reply.chunks:
                if num_bytes <= _PATIENT_BYTES < num_bytes + len(chunk):
                    self._ask_for_patience(expected)
                num_bytes += len(chunk)
                self._fetcher.check_size(num_bytes)
                digest.update(chunk)
                whole.write(chunk)
                if self.progress is not None and expected is not None:
                    self.progress(num_bytes, expected)
        except BaseException as error:
            whole.close()
            if isinstance(error, OSError):
                raise self._no_room() from error
            raise
        self._whole = whole
        return num_bytes, digest.hexdigest()

    def _ask_for_patience(self, num_bytes: int | None) -> None:
        size = "" if num_bytes is None else f" of {num_bytes / 1e6:,.0f} MB"
        warnings.warn(
            f"{self}: its server gives no parts, so the whole file{size} is fetched "
            "before it is read; this may take long.",
            DynFocusWarning,
            stacklevel=2,
        )

    def _no_room(self) -> UnreachableVideoError:
        return self._fetcher.error(
            "its server gives no parts of it, and there is no room for the whole file in "
            f"{tempfile.gettempdir()}; make some, or set TMPDIR"
        )


class _OpenFile(io.RawIOBase):
    """A place in a remote file.

    Args:
        file: The file.
        holds_failure: Let a part that cannot be fetched be the end of the file.
    """

    def __init__(self, file: RemoteFile, *, holds_failure: bool = False) -> None:
        super().__init__()
        self._holds_failure = holds_failure
        self.failure: UnreachableVideoError | None = None
        self.name = file.name
        self._file = file
        self._position = 0
        self._num_ahead = 1
        self._block_before = -1
        file.count_open(1)

    def close(self) -> None:
        """Close it; connections end with the last one."""
        if not self.closed:
            self._file.count_open(-1)
        super().close()

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that any place of it can be read."""
        return True

    def tell(self) -> int:
        """Give the place in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place and give it in bytes."""
        base = (0, self._position, self._file.num_bytes)[whence]
        if base + offset < 0:
            raise ValueError(f"a place must be at least 0, got {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read up to the end of a block."""
        is_over = self.failure is not None and self._holds_failure
        if is_over or self._position >= self._file.num_bytes or not len(buffer):
            return 0
        number, start = divmod(self._position, _BLOCK_BYTES)
        try:
            block = self._block(number)
        except UnreachableVideoError as error:
            self.failure = error
            if self._holds_failure:
                return 0
            raise
        part = memoryview(block)[start : start + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _block(self, number: int) -> bytes:
        """Read a block; the longer the file is read in order, the more at once."""
        if number not in (self._block_before, self._block_before + 1):
            self._num_ahead = 1
        self._block_before = number
        began = time.monotonic()
        block, num_fetched = self._file.read_block(number, self._num_ahead)
        if num_fetched:
            is_quick = time.monotonic() - began < _QUICK_SECONDS
            self._num_ahead = min(2 * self._num_ahead, _MOST_AHEAD) if is_quick else 1
        return block
