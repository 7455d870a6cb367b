"""How far a command is with many videos, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynfocus.cli.console import plural, say

if TYPE_CHECKING:
    from dynfocus.bulk.asking import OnStep


class FileLines:
    """Say one line for each finished video, where there is no terminal."""

    advance: OnStep | None = None

    def __init__(self, num_files: int) -> None:
        self._num_files = num_files
        self._num_done = 0

    def finish(self, outcome: dict[str, Any]) -> None:
        """Say what became of a video."""
        self._num_done += 1
        say(
            f"{self._num_done}/{self._num_files} {outcome['file']}: {outcome['state']}, "
            f"{plural(outcome['num_frames'], 'frame')}, {outcome['seconds']:.1f} s"
        )


class FileBars:
    """Show a bar over all videos and one for each that is being worked on."""

    def __init__(self, bars: Any, num_files: int) -> None:
        self._bars = bars
        self._whole = bars.add_task("Videos", total=num_files)
        self._tasks: dict[str, Any] = {}

    def advance(self, file: str, done: int, total: int) -> None:
        """Show how far a video is."""
        if file not in self._tasks:
            self._tasks[file] = self._bars.add_task(Path(file).name, total=total)
        self._bars.update(self._tasks[file], completed=done, total=total)

    def finish(self, outcome: dict[str, Any]) -> None:
        """Take the bar of a video away."""
        if outcome["file"] in self._tasks:
            self._bars.remove_task(self._tasks.pop(outcome["file"]))
        self._bars.advance(self._whole)


@contextmanager
def file_progress(num_files: int) -> Iterator[FileLines | FileBars]:
    """Show progress on standard error, in bars if that is a terminal."""
    if not sys.stderr.isatty():
        yield FileLines(num_files)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Remaining(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield FileBars(bars, num_files)
