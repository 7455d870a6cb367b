"""What was read in videos, kept on disk by their content and by what read it.

A reading is a file of JSON lines: what was read, under a first line that says how. While a
video is read the lines are gathered in a hidden file beside it, each with how far reading
had come, so that a reading that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dynfocus.atomic import PART_SUFFIX, write_atomically
from dynfocus.cache import default_folder
from dynfocus.json_lines import JsonLines
from dynfocus.text import to_json
from dynfocus.validation import from_mapping
from dynfocus.video import VideoDigests, VideoName
from dynfocus.words.timed_text import TimedText

_FOLDER = "words"
_KIND = "dynfocus words"
_DIGEST_BYTES = 16
_logger = logging.getLogger(__name__)


class WordStore:
    """Keep what was read in videos.

    Args:
        folder: The folder of the index; by default the user's, asked at each use.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._folder = None if folder is None else Path(folder)

    @property
    def folder(self) -> Path:
        """The folder of readings; it need not be there."""
        base = default_folder() if self._folder is None else self._folder
        return base / _FOLDER

    def path(self, video: VideoName, reader: str) -> Path:
        """Give the file of a reading, whether or not it is there.

        Args:
            video: The video.
            reader: What decides the reading beside the content of the video.

        Raises:
            UnusableEntryError: Nothing tells one version of a remote file from the next.
        """
        digest = VideoDigests(self.folder.parent).of(video)
        name = hashlib.blake2b(
            f"{digest}\n{reader}".encode(), digest_size=_DIGEST_BYTES
        ).hexdigest()
        return self.folder / name[:2] / f"{name}.jsonl"

    def files(self) -> list[Path]:
        """List the files of all readings."""
        return sorted(self.folder.glob("*/*.jsonl"))

    def load(self, path: Path) -> list[TimedText] | None:
        """Load a reading; None if there is none that is whole.

        Args:
            path: Its file.
        """
        try:
            head, *lines = path.read_text(encoding="utf-8").splitlines()
            facts = json.loads(head)
            if facts["kind"] != _KIND or facts["num_texts"] != len(lines):
                raise ValueError("it is not whole")
            texts = [from_mapping(TimedText, json.loads(line)) for line in lines]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _logger.warning("%s is read again: %s", path, error)
            return None
        try:
            os.utime(path)
        except OSError as error:  # another user's folder: it is used all the same
            _logger.info("the use of %s is not noted: %s", path, error)
        return texts

    def save(self, path: Path, texts: Sequence[TimedText], reader: str) -> None:
        """Write a reading, whole or not at all, and drop what was gathered for it.

        Args:
            path: Its file.
            texts: What was read.
            reader: What read it.
        """
        head = {"kind": _KIND, "reader": reader, "num_texts": len(texts)}
        lines = [to_json(head), *(to_json(to_row(one)) for one in texts)]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, "".join(f"{line}\n" for line in lines))
        _gathered(path).unlink(missing_ok=True)

    @contextmanager
    def gathering(self, path: Path, reader: str) -> Iterator[JsonLines | None]:
        """Open what was gathered of a reading so far, to go on with it.

        Args:
            path: The file of the reading.
            reader: What reads it.

        Yields:
            The lines; None if another process is at it or nothing can be written there.
        """
        lines = JsonLines(_gathered(path), {"reader": reader})
        try:
            opened = lines.__enter__()
        except (OSError, ValueError) as error:
            _logger.info("what is read is not gathered: %s", error)
            yield None
            return
        try:
            yield opened
        finally:
            lines.__exit__()


def to_row(text: TimedText) -> dict[str, Any]:
    """Write a timed text as JSON has it, without what is not known."""
    return {name: value for name, value in asdict(text).items() if value is not None}


def _gathered(path: Path) -> Path:
    return path.with_name(f".{path.name}{PART_SUFFIX}")
