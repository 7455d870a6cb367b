"""FocusWorld videos in the library, with the note that says what is true of them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dynfocus.atomic import write_atomically
from dynfocus.text import to_json

if TYPE_CHECKING:
    from dynfocus.serving.library import Library, LibraryVideo
    from dynfocus.world import WorldQuestion

EXAMPLE_SECONDS = 60.0
EXAMPLE_SEED = 0
_NOTE = "questions.json"
_COPY_BYTES = 2**20


def add_example_video(library: Library) -> LibraryVideo:
    """Make the example of the page and take it in; it is there once."""
    from dynfocus.world import make_video

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "FocusWorld example.mp4"
        made = make_video(path, EXAMPLE_SECONDS, EXAMPLE_SEED)
        path.with_name(_NOTE).write_text(to_json(made.to_dict()), encoding="utf-8")
        return add_world_video(library, path)


def add_world_video(library: Library, path: Path) -> LibraryVideo:
    """Copy a FocusWorld video into a library, with the note beside it.

    Args:
        library: The library.
        path: The file; ``questions.json`` beside it says what is true of it.
    """
    with library.incoming() as incoming, path.open("rb") as file:
        while data := file.read(_COPY_BYTES):
            incoming.write(data)
        video = library.add(incoming, path.name)
    note = json.loads(path.with_name(_NOTE).read_text(encoding="utf-8"))
    note["video"] = library.content(video).name
    write_atomically(library.folder_of(video) / _NOTE, to_json(note))
    return video


def known_questions(library: Library, video: LibraryVideo) -> tuple[WorldQuestion, ...]:
    """List what is asked about a video whose truth is known; of others nothing."""
    from dynfocus.world import find_questions

    return find_questions(library.content(video))
