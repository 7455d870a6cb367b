"""Many videos indexed one after the other or by several processes at once."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError

from dynfocus.models.video_model import VideoModel
from dynfocus.video.watchdog import available_cores

FileProgress = Callable[[Path, int, int], None]
"""Called with a file, the steps done on it and the steps in all."""
Loader = Callable[[], VideoModel]

_VIDEO_ERRORS = (OSError, SafetensorError, ValueError)
_ASK_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class FileOutcome:
    """What became of one video."""

    file: Path
    state: Literal["new", "done", "failed"]
    """``done`` is what was indexed before."""
    entry: Path | None = None
    """The file of the index that keeps it."""
    num_bytes: int = 0
    num_frames: int = 0
    seconds: float = 0.0
    """How long it took."""
    reason: str | None = None
    """Why it failed."""
    warnings: tuple[str, ...] = ()
    """What was not quite right about it."""

    def to_dict(self) -> dict[str, Any]:
        """Give it as a mapping that JSON can hold."""
        entry = None if self.entry is None else str(self.entry)
        return asdict(self) | {
            "file": str(self.file),
            "entry": entry,
            "seconds": round(self.seconds, 3),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, kw_only=True)
class BulkSampling:
    """Which frames of every video are encoded."""

    fps: float = 1.0
    max_frames: int | None = None


def index_files(
    files: Sequence[Path],
    load: Loader,
    sampling: BulkSampling,
    *,
    num_workers: int = 1,
    on_progress: FileProgress | None = None,
) -> Iterator[FileOutcome]:
    """Index videos, those that are not indexed yet.

    A video that cannot be read does not stop the others.

    Args:
        files: The videos.
        load: Loads the model, with its index; called once in each process, so it must
            be picklable if there are several.
        sampling: Which frames are encoded.
        num_workers: Processes; one works in this process.
        on_progress: Called while a video is read and encoded.

    Yields:
        What became of each video, in the order in which they are finished.
    """
    if num_workers < 1:
        raise ValueError(f"num_workers must be at least 1, got {num_workers}")
    if min(num_workers, len(files)) > 1:
        yield from _index_in_processes(
            files, load, sampling, min(num_workers, len(files)), on_progress
        )
        return
    focused = load()
    for file in files:
        yield index_file(focused, file, sampling, on_progress)


def index_file(
    focused: VideoModel,
    file: Path,
    sampling: BulkSampling,
    on_progress: FileProgress | None = None,
) -> FileOutcome:
    """Index one video, or say why that cannot be done.

    Args:
        focused: The model, with its index.
        file: The video.
        sampling: Which frames are encoded.
        on_progress: Called while it is read and encoded.
    """

    def advance(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(file, done, total)

    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            index = focused.index(
                file,
                fps=sampling.fps,
                max_frames=sampling.max_frames,
                progress=advance,
            )
        except _VIDEO_ERRORS as error:
            reason = _sentence(error).removeprefix(f"{file}: ")
            return FileOutcome(file=file, state="failed", reason=reason)
    said = tuple(str(w.message) for w in caught if _is_ours(w.category))
    seconds = time.perf_counter() - started
    if index.entry is None:
        reason = said[-1] if said else "it changed while it was read"
        return FileOutcome(file=file, state="failed", reason=reason, seconds=seconds)
    return FileOutcome(
        file=file,
        state="done" if index.is_from_disk else "new",
        entry=index.entry,
        num_bytes=index.entry.stat().st_size,
        num_frames=index.num_frames,
        seconds=seconds,
        warnings=said,
    )


def _index_in_processes(
    files: Sequence[Path],
    load: Loader,
    sampling: BulkSampling,
    num_workers: int,
    on_progress: FileProgress | None,
) -> Iterator[FileOutcome]:
    context = multiprocessing.get_context("spawn")
    events, ranks = context.Queue(), context.Queue()
    for rank in range(num_workers):
        ranks.put(rank)
    pool = ProcessPoolExecutor(
        num_workers, context, _start_worker, (load, events, ranks, num_workers)
    )
    with _relayed(events, on_progress), _ended(pool):
        futures = {pool.submit(_work, file, sampling): file for file in files}
        for future in as_completed(futures):
            yield _outcome(future, futures[future])


def _outcome(future: Future[FileOutcome], file: Path) -> FileOutcome:
    try:
        return future.result()
    except BrokenProcessPool:
        return FileOutcome(
            file=file,
            state="failed",
            reason="a worker process ended before its time, perhaps for lack of memory "
            "or because the model cannot be loaded; use fewer workers",
        )


class _Worker:
    """What a worker process holds."""

    focused: VideoModel
    events: Any


def _start_worker(load: Loader, events: Any, ranks: Any, num_workers: int) -> None:
    """Load the model in a worker process, on a GPU of its own where there are some."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    rank = ranks.get()
    if torch.cuda.is_available():
        torch.cuda.set_device(rank % torch.cuda.device_count())
    share = max(1, available_cores() // num_workers)
    torch.set_num_threads(min(torch.get_num_threads(), share))
    _Worker.focused = load()
    _Worker.events = events


def _work(file: Path, sampling: BulkSampling) -> FileOutcome:
    def tell(file: Path, done: int, total: int) -> None:
        _Worker.events.put((file, done, total))

    return index_file(_Worker.focused, file, sampling, tell)


@contextmanager
def _relayed(events: Any, on_progress: FileProgress | None) -> Iterator[None]:
    """Pass on what worker processes tell, from a thread of this process."""
    is_over = threading.Event()

    def relay() -> None:
        while not is_over.is_set():
            try:
                event = events.get(timeout=_ASK_SECONDS)
            except queue.Empty:
                continue
            if on_progress is not None:
                on_progress(*event)

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@contextmanager
def _ended(pool: ProcessPoolExecutor) -> Iterator[None]:
    """End a pool's processes at once when the work is broken off."""
    before = set(multiprocessing.active_children())
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    pool.shutdown()


def _is_ours(category: type[Warning]) -> bool:
    return category.__module__.startswith("dynfocus.")


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
