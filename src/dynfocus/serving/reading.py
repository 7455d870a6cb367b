"""What is done with the file of a video before anybody asks: it is read and indexed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynfocus.atomic import write_atomically
from dynfocus.serving.locks import locked
from dynfocus.serving.noted import noted_warnings

if TYPE_CHECKING:
    from dynfocus.models import VideoModel

OnStep = Callable[[str, int, int], None]
"""Called with the stage, its steps done and in all."""
BOARD, PICTURE = "storyboard.json", "storyboard.jpg"


@dataclass(frozen=True, kw_only=True)
class FileJob:
    """What is to be done with a file."""

    path: str
    """The file."""
    name: str = "video"
    """What people call it, also in warnings and errors."""
    board_folder: str | None = None
    """Where its storyboard goes; None for no storyboard."""
    reading: dict[str, Any] | None = None
    """How it is encoded, as options of a question; None for not at all."""
    words: str | None = None
    """The file that its words are read into; None for no words."""
    lock: str | None = None
    """A file that is locked while it is encoded, so that no other server does it, too."""


def run_job(
    job: FileJob, load: Callable[[], VideoModel], on_step: OnStep
) -> dict[str, Any]:
    """Read and encode a file.

    Args:
        job: What is to be done.
        load: Gives the model, if it is needed.
        on_step: Called meanwhile; an error that it raises ends the work.

    Returns:
        What became known of the video.

    Raises:
        ValueError: The file holds no video, or none that can be decoded.
    """
    from dynfocus.video import VideoReader

    on_step("reading", 0, 0)
    with noted_warnings() as notes:
        reader = VideoReader(job.path)
        height, width = reader.size
        facts: dict[str, Any] = {
            "duration": round(float(reader.duration), 3),
            "fps": round(float(reader.fps), 3),
            "width": int(width),
            "height": int(height),
            "frame_count": int(reader.frame_count),
        }
        if job.board_folder is not None:
            make_board(reader, Path(job.board_folder), partial(on_step, "reading"))
        if job.reading is not None:
            on_step("indexing", 0, 0)
            with locked(None if job.lock is None else Path(job.lock)):
                load().index(
                    Path(job.path), progress=partial(on_step, "indexing"), **job.reading
                )
        if job.words is not None:
            from dynfocus.serving.word_search import read_into

            read_into(Path(job.words), Path(job.path), partial(on_step, "words"))
    return {**facts, "warnings": [called(job.name, job.path, one) for one in notes]}


def called(name: str, path: str | Path, text: str) -> str:
    """Call a file by its name in a text, which nobody outside knows by its path."""
    return text.replace(str(path), name)


def make_board(
    reader: Any, folder: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write the storyboard of a video into a folder, once as JSON and once as JPEG."""
    from dynfocus.report import draw_storyboard, make_storyboard

    board = make_storyboard(reader, progress=progress)
    picture = io.BytesIO()
    draw_storyboard(board).save(picture, format="JPEG", quality=85)
    write_atomically(folder / PICTURE, picture.getvalue())
    write_atomically(folder / BOARD, json.dumps(board.to_dict()))
