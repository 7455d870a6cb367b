"""An overview of a video: small frames all over it, and what tells them apart.

Letters: T frames.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from dynfocus.focus import uniform_indices
from dynfocus.methods.image_features import frame_quality, image_features
from dynfocus.methods.scorers import FrameScorer
from dynfocus.methods.selectors import SelectorInput
from dynfocus.methods.selectors.interface import Floats, min_max
from dynfocus.video import SampledFrames, VideoReader

Progress = Callable[[int, int], None]

LOOK_PIXELS = 192
"""Longer side of the frames: enough to tell a blurred one."""

_NUM_FRAMES = (90, 300)
_FRAMES_PER_SECOND = 2.0
_FRAMES_PER_WANTED = 4
_MOST_FRAMES_PER_WANTED = 16


def read_overview(
    reader: VideoReader,
    size: tuple[int, int],
    *,
    num_wanted: int = 1,
    fps: float | None = None,
    fast: bool = False,
    progress: Progress | None = None,
) -> SampledFrames:
    """Read frames all over a video, at least as many as are wanted of it.

    Args:
        reader: The video.
        size: Height and width to decode at.
        num_wanted: How many of the frames will be chosen.
        fps: Frames a second; by default 2, but 90 to 300 in all and at least four for
            each that is wanted, no faster than frames come.
        fast: Read key frames alone, those nearest to the moments to be looked at.
        progress: Called with frames read and frames in all.

    Returns:
        Different frames, in order of time; fewer than are wanted only where the others
        cannot be decoded, which a warning says.

    Raises:
        ValueError: The video does not have so many frames, or not at this rate.
    """
    what = f"the budget of {num_wanted} frames is more than the"
    if num_wanted > reader.frame_count:
        raise ValueError(
            f"{what} {reader.frame_count} that {reader.path.name} shows; ask for fewer"
        )
    rate = fps if fps is not None else overview_rate(reader, num_wanted)
    seen = reader.sample(fps=rate, size=size, progress=progress, fast=fast)
    times, first = np.unique(seen.times, return_index=True)
    is_all = seen.damage is not None and rate >= reader.fps
    if len(times) < num_wanted and fps is None and not (fast or is_all):
        every = reader.timeline.pts_seconds
        most = min(len(every), _MOST_FRAMES_PER_WANTED * num_wanted)
        every = every[uniform_indices(len(every), most).numpy()]
        seen = reader.sample(times=every, size=size, progress=progress)
        times, first = np.unique(seen.times, return_index=True)
    if len(times) < num_wanted and seen.damage is None:
        if fast:
            raise ValueError(
                f"{what} {len(times)} key frames that {reader.path.name} has for it; ask "
                "for fewer, or without fast"
            )
        raise ValueError(
            f"{what} {len(times)} that were looked at; ask for fewer, or look at more (fps)"
        )
    return SampledFrames(seen.frames[first], times)


class FrameScores:
    """Scores of frames for a question, each computed when it is first asked for.

    Args:
        scorer: What compares frames with the question.
        frames: Frames of uint8, ``[T, H, W, 3]``.
        question: The question.
    """

    def __init__(
        self, scorer: FrameScorer, frames: NDArray[np.uint8], question: str
    ) -> None:
        self._scorer = scorer
        self._frames = frames
        self._text = scorer.encode_text(question)
        self._known = np.full(len(frames), np.nan)

    def __call__(self, indices: NDArray[np.int64]) -> Floats:
        """Score some frames, ``[K]``; higher is better."""
        missing = indices[np.isnan(self._known[indices])]
        if len(missing):
            encoded = self._scorer.encode_frames(self._frames[missing])
            self._known[missing] = self._scorer.compare(encoded, self._text)
        return self._known[indices]

    def relevance(self, indices: NDArray[np.int64]) -> Floats:
        """Rate some frames among all that were scored: 1 for the best, ``[K]``."""
        self(indices)
        is_known = ~np.isnan(self._known)
        places = np.cumsum(is_known) - 1
        return min_max(self._known[is_known])[places[indices]]


def as_selector_input(seen: SampledFrames, scores: FrameScores | None) -> SelectorInput:
    """Describe frames for a selector, with their scores if there is a scorer."""
    features = image_features(seen.frames)
    return SelectorInput(
        times=seen.times,
        features=torch.from_numpy(features),
        compare=scores,
        quality=frame_quality(seen.frames, features),
    )


def overview_rate(reader: VideoReader, num_wanted: int) -> float:
    """Look at some frames for each that is wanted, no faster than frames come."""
    least, most = _NUM_FRAMES
    wanted = min(max(_FRAMES_PER_SECOND * reader.duration, least), most)
    wanted = max(wanted, _FRAMES_PER_WANTED * num_wanted)
    return min(wanted / reader.duration, reader.fps)
