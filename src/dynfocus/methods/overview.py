"""An overview of a video: small frames all over it, and what tells them apart.

Letters: T frames.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from dynfocus.methods.image_features import frame_quality, image_features
from dynfocus.methods.scorers import FrameScorer
from dynfocus.methods.selectors import SelectorInput
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
        Different frames, in order of time.

    Raises:
        ValueError: The video does not have so many frames.
    """
    what = f"the budget of {num_wanted} frames is more than the"
    if num_wanted > reader.frame_count:
        raise ValueError(
            f"{what} {reader.frame_count} that {reader.path.name} shows; ask for fewer"
        )
    rate = fps if fps is not None else overview_rate(reader, num_wanted)
    while True:
        sampled = reader.sample(fps=rate, size=size, progress=progress, fast=fast)
        times, first = np.unique(sampled.times, return_index=True)
        if len(times) >= num_wanted:
            return SampledFrames(sampled.frames[first], times)
        if fast:
            raise ValueError(
                f"{what} {len(times)} key frames that {reader.path.name} has for "
                "it; ask for fewer, or without fast"
            )
        is_last = rate * reader.duration > _MOST_FRAMES_PER_WANTED * reader.frame_count
        if fps is not None or is_last:
            raise ValueError(
                f"{what} {len(times)} that were looked at; ask for fewer"
                + ("" if fps is None else ", or look at more (fps)")
            )
        rate *= 2


def as_selector_input(
    seen: SampledFrames, scorer: FrameScorer | None, question: str
) -> SelectorInput:
    """Describe frames for a selector.

    Args:
        seen: The frames.
        scorer: What compares frames with the question; each frame is encoded once, when
            a selector first asks for its score.
        question: The question.
    """
    compare = None if scorer is None else _Scores(scorer, seen.frames, question)
    features = image_features(seen.frames)
    return SelectorInput(
        times=seen.times,
        features=torch.from_numpy(features),
        compare=compare,
        quality=frame_quality(seen.frames, features),
    )


class _Scores:
    """Scores of frames for a question, each computed once."""

    def __init__(
        self, scorer: FrameScorer, frames: NDArray[np.uint8], question: str
    ) -> None:
        self._scorer = scorer
        self._frames = frames
        self._text = scorer.encode_text(question)
        self._known = np.full(len(frames), np.nan)

    def __call__(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        missing = indices[np.isnan(self._known[indices])]
        if len(missing):
            encoded = self._scorer.encode_frames(self._frames[missing])
            self._known[missing] = self._scorer.compare(encoded, self._text)
        return self._known[indices]


def overview_rate(reader: VideoReader, num_wanted: int) -> float:
    """Look at some frames for each that is wanted, no faster than frames come."""
    least, most = _NUM_FRAMES
    wanted = min(max(_FRAMES_PER_SECOND * reader.duration, least), most)
    wanted = max(wanted, _FRAMES_PER_WANTED * num_wanted)
    return min(wanted / reader.duration, reader.fps)
