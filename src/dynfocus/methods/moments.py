"""When what a question asks about is shown: stretches of frames that are rated highly.

Letters: T frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dynfocus.methods.frame_selection import FrameScores, Progress, read_overview
from dynfocus.methods.scorers import FrameScorer
from dynfocus.methods.selectors.interface import Floats
from dynfocus.video import VideoReader

_HIGH = 0.5
"""Rating, between the middle one and the best, from which on a frame is of a moment."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One stretch of a video that is rated highly."""

    start: float
    """Where it begins, in seconds."""
    end: float
    """Where it ends; half-open."""
    best_time: float
    """Time of its best frame."""
    confidence: float
    """Its share of all that is rated above the middle, from 0 to 1; squares count, so that
    many frames a little above the middle weigh less than a few far above it. It compares
    stretches of one video: it does not tell whether the video shows it at all."""


def find_moments(
    times: Floats, scores: Floats, start: float, end: float, *, most: int = 5
) -> list[Moment]:
    """Find the stretches of a video whose frames fit a question best.

    A frame stands for the time from the middle between it and the one before to the
    middle between it and the one after. It is of a moment if its score is closer to the
    best one than to the median.

    Args:
        times: Times of frames in seconds, increasing, ``[T]``.
        scores: How well they fit, higher is better, ``[T]``.
        start: Where what was looked at begins, in seconds.
        end: Where it ends.
        most: At most so many stretches.

    Returns:
        The stretches, the surest first; none where all frames fit equally well.
    """
    above = np.maximum(scores - np.median(scores), 0)
    if not above.any():
        return []
    rated = above / above.max()
    edges = np.concatenate([[start], (times[1:] + times[:-1]) / 2, [end]])
    weight = rated**2 * np.diff(edges)
    is_high = np.concatenate([[False], rated >= _HIGH, [False]])
    begins, stops = np.flatnonzero(np.diff(is_high)).reshape(-1, 2).T
    moments = [
        Moment(
            start=float(edges[begin]),
            end=float(edges[stop]),
            best_time=float(times[begin + int(rated[begin:stop].argmax())]),
            confidence=float(weight[begin:stop].sum() / weight.sum()),
        )
        for begin, stop in zip(begins, stops, strict=True)
    ]
    return sorted(moments, key=lambda one: (-one.confidence, one.start))[:most]


def rate_moments(
    reader: VideoReader,
    question: str,
    scorer: FrameScorer,
    progress: Progress | None = None,
) -> tuple[list[Moment], int]:
    """Find the stretches of a file whose frames a scorer rates highest.

    Args:
        reader: The file.
        question: The question.
        scorer: What compares frames with it.
        progress: Called with frames read and frames in all.

    Returns:
        What `find_moments` gives, and how many frames were looked at.
    """
    seen = read_overview(reader, scorer.size(reader.size), progress=progress)
    scores = FrameScores(scorer, seen, question)(np.arange(len(seen.times)))
    moments = find_moments(seen.times, scores, reader.start, reader.end)
    return moments, len(seen.times)
