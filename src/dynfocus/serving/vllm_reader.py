"""A reader of videos inside vLLM, which reads the frames that matter and not even ones.

vLLM finds `register` by the entry point ``dynfocus`` of the group ``vllm.general_plugins``,
and gives every video to the reader that ``video_backend`` names. It pins packages of its
own, so this module needs NumPy, PyAV and torch alone, and transformers where a scorer
reads the question.
"""

from __future__ import annotations

import functools
import logging
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynfocus.methods.frame_selection import select_frames
from dynfocus.methods.scorers import DualEncoder, FrameScorer
from dynfocus.video import VideoReader
from dynfocus.video.plan import number_frames

NAME = "dynfocus"
"""What ``video_backend`` calls the reader."""
_DEFAULT_FRAMES = 32
_ANY = "What happens?"

_logger = logging.getLogger(__name__)


class EventVideoReader:
    """Read as many frames of a video as are wanted: those that show most, or fit a question.

    What vLLM calls a video loader. The keywords come from ``--media-io-kwargs`` and, where
    the server trusts them, from ``media_io_kwargs`` of a request.
    """

    @classmethod
    def load_bytes(
        cls,
        data: bytes,
        num_frames: int = _DEFAULT_FRAMES,
        fps: float = -1,
        *,
        question: str | None = None,
        scorer: str | None = None,
        rule: str = "events",
        start: float | str | None = None,
        end: float | str | None = None,
        **others: Any,
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Read the frames of a video file.

        Args:
            data: The file.
            num_frames: How many frames, exactly, or all if there are fewer; -1 for no
                limit.
            fps: At most so many a second, on average; -1 for no limit.
            question: What the frames must help to answer.
            scorer: What compares frames with the question: a folder on the server; by
                default what ``dynfocus download --scorer`` fetched there, ``"none"`` for
                nothing.
            rule: As for `select_frames`.
            start: Where to begin: seconds, ``m:ss`` or ``h:mm:ss``.
            end: Where to end.
            **others: What other readers of vLLM take; it has no say here.

        Returns:
            Frames in order of time, ``[T, H, W, 3]``, and what vLLM wants to know of them.

        Raises:
            ValueError: The file holds no video, or an argument is wrong.
        """
        with tempfile.TemporaryDirectory(prefix="dynfocus-") as folder:
            file = Path(folder) / "video"
            file.write_bytes(data)
            reader = VideoReader(file, start=start, end=end)
            count = _count(reader, num_frames, fps)
            times = reader.frame_times
            if count < len(times):
                encoder = None if question is None else find_scorer(scorer)
                chosen = select_frames(
                    reader, question or _ANY, count, scorer=encoder, rule=rule
                )
                times = np.array([frame.time for frame in chosen.frames])
            frames, shown = reader.sample(times=times)
            numbers = number_frames(shown, reader.duration)
            return frames, {**numbers, "video_backend": NAME}


def register() -> None:
    """Tell vLLM of the reader; it calls this in each of its processes."""
    from vllm.multimodal.video import VIDEO_LOADER_REGISTRY

    VIDEO_LOADER_REGISTRY.register(NAME)(EventVideoReader)


def find_scorer(named: str | None) -> FrameScorer | None:
    """Load what compares frames with a question, once.

    Args:
        named: A folder, ``"none"``, or None for what was downloaded.

    Returns:
        The scorer; None where nothing was downloaded, which is logged.

    Raises:
        ValueError: What is named is no folder. A request may name it, so nothing is
            fetched from the hub.
    """
    if named == "none":
        return None
    if named is None:
        from dynfocus.defaults import RECOMMENDED_SCORER, find_downloaded

        folder = find_downloaded(RECOMMENDED_SCORER)
        if folder is None:
            _warn_once()
            return None
        named = str(folder)
    if not Path(named).is_dir():
        raise ValueError(f"scorer must be a folder on the server, got {named!r}")
    return _load_scorer(named)


@functools.lru_cache(maxsize=1)
def _load_scorer(folder: str) -> FrameScorer:
    return DualEncoder(folder)


@functools.lru_cache(maxsize=1)
def _warn_once() -> None:
    _logger.warning(
        "nothing here compares frames with questions, so frames are chosen by their look; "
        "run dynfocus download --scorer, or name a folder as scorer"
    )


def _count(reader: VideoReader, num_frames: int, fps: float) -> int:
    """Count the frames to read: no more than there are, and than each limit allows."""
    limits = [len(reader.frame_times)]
    for name, value in (("num_frames", num_frames), ("fps", fps)):
        if value != -1 and not value > 0:
            raise ValueError(f"{name} must be above 0, or -1 for no limit, got {value}")
    if num_frames != -1:
        limits.append(num_frames)
    if fps != -1:
        limits.append(max(1, math.floor((reader.end - reader.start) * fps)))
    return min(limits)
