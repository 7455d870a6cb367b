"""The frames of a video that a question needs, exactly as many as asked for.

They are chosen from an overview: small frames all over the video.

Letters: T frames looked at, K frames chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dynfocus.focus import uniform_indices
from dynfocus.methods.image_features import fit_size, frame_quality, image_features
from dynfocus.methods.scorers import FrameScorer
from dynfocus.methods.selectors import Selection, SelectorInput, find_selector
from dynfocus.methods.selectors.interface import SMALL, Floats, min_max
from dynfocus.text import is_blank, plural
from dynfocus.video import SampledFrames, VideoFile, VideoName, VideoReader

if TYPE_CHECKING:
    from dynfocus.words import Found

Progress = Callable[[int, int], None]

LOOK_PIXELS = 192
"""Longer side of the frames: enough to tell a blurred one."""

_NUM_FRAMES = (90, 300)
_FRAMES_PER_SECOND = 2.0
_FRAMES_PER_WANTED = 4
_MOST_FRAMES_PER_WANTED = 16
_ALL_LARGE = 4
_LARGE_SHARE = 0.25


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
    what = f"the budget of {plural(num_wanted, 'frame')} is more than the"
    every = reader.frame_times
    if num_wanted > len(every):
        where = f" from {reader.start:g} s to {reader.end:g} s" * reader.is_excerpt
        raise ValueError(
            f"{what} {len(every)} that {reader.path.name} shows{where}; ask for fewer"
        )
    rate = fps if fps is not None else overview_rate(reader, num_wanted)
    seen = reader.sample(fps=rate, size=size, progress=progress, fast=fast)
    times, first = np.unique(seen.times, return_index=True)
    is_all = seen.damage is not None and rate >= reader.fps
    if len(times) < num_wanted and fps is None and not (fast or is_all):
        most = min(len(every), _MOST_FRAMES_PER_WANTED * num_wanted)
        every = every[uniform_indices(len(every), most).numpy()]
        seen = reader.sample(times=every, size=size, progress=progress)
        times, first = np.unique(seen.times, return_index=True)
    if len(times) < num_wanted and seen.damage is None:
        if fast:
            raise ValueError(
                f"{what} {plural(len(times), 'key frame')} that {reader.path.name} has for it; ask "
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
        seen: The frames with their times, ``T`` of them.
        question: The question.
    """

    def __init__(self, scorer: FrameScorer, seen: SampledFrames, question: str) -> None:
        self._scorer = scorer
        self._seen = seen
        self._text = scorer.encode_text(question)
        self._known = np.full(len(seen.times), np.nan)
        self._vectors: dict[int, Floats] = {}
        self.question = question

    def __call__(self, indices: NDArray[np.int64]) -> Floats:
        """Score some frames, ``[K]``; higher is better."""
        missing = indices[np.isnan(self._known[indices])]
        if len(missing):
            if self._scorer.needs_all:
                missing = np.arange(len(self._known))
            seen = self._seen
            encoded = self._scorer.encode_at(seen.frames[missing], seen.times[missing])
            self._known[missing] = self._scorer.compare(encoded, self._text)
            vectors = np.asarray(self._scorer.describe(encoded), np.float64)
            self._vectors |= dict(zip(missing.tolist(), vectors, strict=True))
        return self._known[indices]

    def describe(self, indices: NDArray[np.int64]) -> Floats:
        """Give the scorer's own vectors of some frames, ``[K, D]``."""
        self(indices)
        return np.stack([self._vectors[index] for index in indices.tolist()])

    @property
    def is_absolute(self) -> bool:
        """Tell whether scores compare with those of other videos."""
        return self._scorer.is_absolute

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
        describe=None if scores is None else scores.describe,
        question="" if scores is None else scores.question,
    )


def overview_rate(reader: VideoReader, num_wanted: int) -> float:
    """Look at some frames for each that is wanted, no faster than frames come."""
    least, most = _NUM_FRAMES
    seconds = reader.end - reader.start
    wanted = min(max(_FRAMES_PER_SECOND * seconds, least), most)
    wanted = max(wanted, _FRAMES_PER_WANTED * num_wanted)
    return min(wanted / seconds, reader.fps)


@dataclass(frozen=True, kw_only=True)
class ChosenFrame:
    """One frame that was chosen."""

    time: float
    """Presentation time in seconds."""
    kind: Literal["cone", "rod"]
    """``"cone"``: to be shown large; ``"rod"``: to be shown small."""
    rank: int
    """Place in the order of choice, from 1."""
    importance: float
    """How much it matters by the rule, 1 for the frame that matters most."""
    relevance: float | None
    """Relevance to the question, 1 for the most relevant frame; None without a scorer."""
    rating: float | None = None
    """What the scorer made of it, where that compares between videos, as cosines do."""
    scale: float = 1.0
    """Of a Cone: its side beside the largest, where the rule sizes frames; else 1."""


@dataclass(frozen=True, kw_only=True)
class FrameSelection:
    """The frames that were chosen, in time order."""

    reader: VideoReader = field(repr=False, compare=False)
    """What reads the file."""
    question: str
    """The question."""
    duration: float
    """Length of the video in seconds."""
    size: tuple[int, int]
    """Height and width of the video as displayed."""
    num_looked_at: int
    """Frames that were compared."""
    scorer: str | None
    """What compared frames with the question; None if nothing did."""
    rule: str
    """Name of the selector."""
    frames: tuple[ChosenFrame, ...]
    """The frames, no two the same."""
    words: tuple[Found, ...] = ()
    """Places with words about the question, the best first, where a scorer read them."""

    @property
    def video(self) -> VideoFile:
        """The file."""
        return self.reader.path

    def read(self, longer: int, kind: str | None = None) -> SampledFrames:
        """Read the chosen frames.

        Args:
            longer: Longer side in pixels; no frame is enlarged.
            kind: ``"cone"`` or ``"rod"``; all by default.

        Returns:
            The frames with their times, in time order.
        """
        times = [f.time for f in self.frames if kind in (None, f.kind)]
        size = fit_size(self.size, min(longer, max(self.size)))
        if not times:
            return SampledFrames(np.empty((0, *size, 3), np.uint8), np.empty(0))
        return self.reader.sample(times=times, size=size)

    def pictures(self, longer: int, kind: str) -> list[tuple[float, NDArray[np.uint8]]]:
        """Read the chosen frames of a kind, each in its own size.

        Args:
            longer: Longer side of the largest in pixels; no frame is enlarged.
            kind: ``"cone"`` or ``"rod"``.

        Returns:
            Time and picture of each, in time order.
        """
        scales = sorted({frame.scale for frame in self.frames if frame.kind == kind})
        found = [
            (float(time), picture)
            for scale in scales
            for picture, time in zip(
                *replace(
                    self, frames=tuple(f for f in self.frames if f.scale == scale)
                ).read(max(1, round(longer * scale)), kind),
                strict=True,
            )
        ]
        return sorted(found, key=lambda one: one[0])

    def to_dict(self) -> dict[str, Any]:
        """Give the selection as plain values that JSON can hold."""
        return {
            "video": str(self.video),
            **self.reader.part,
            "question": self.question,
            "duration": round(self.duration, 6),
            "num_looked_at": self.num_looked_at,
            "scorer": self.scorer,
            "rule": self.rule,
            "frames": [asdict(frame) for frame in self.frames],
            **({"words": [one.to_dict() for one in self.words]} if self.words else {}),
        }


def select_frames(
    video: VideoName | VideoReader,
    question: str,
    budget: int,
    *,
    scorer: FrameScorer | None = None,
    rule: str = "events",
    num_cones: int | None = None,
    fps: float | None = None,
    fast: bool = False,
    progress: Progress | None = None,
) -> FrameSelection:
    """Choose the frames of a video that a question needs.

    Args:
        video: Any video file, or what reads it.
        question: The question. Without a scorer it has no say.
        budget: How many frames; of a rule that sizes frames itself, their area in frames
            of full size, so that there may be more of them.
        scorer: What compares frames with the question; by default nothing does.
        rule: Name of a selector that drops frames: ``"events"``, ``"uniform"``, another
            of `dynfocus.methods.SELECTORS`, most of which need a scorer, or one of
            another package.
        num_cones: How many of them, the first chosen, are Cones; by default all of four
            at most, otherwise a quarter but four at least. A rule that sizes frames
            itself decides that, too.
        fps: Frames looked at in a second; by default 2, but 90 to 300 in all and at least
            four for each that is wanted.
        fast: Look at key frames alone, those nearest to the moments to be looked at.
            A long file is then looked through in a moment; what happens between two key
            frames is not seen.
        progress: Called with frames read and frames in all.

    Returns:
        The frames, exactly as many as asked for; fewer only of a damaged video of which
        no more can be decoded.

    Raises:
        ValueError: The budget or the number of Cones cannot be met, the question is
            empty, or the rule is not known or lacks a scorer.
    """
    selector = find_selector(
        rule, "rule", has_scorer=scorer is not None, rest="dropped"
    )
    if is_blank(question):
        raise ValueError("the question is empty; write what to look for in the video")
    if budget < 1:
        raise ValueError(f"the budget must be at least 1 frame, got {budget}")
    sizes_frames = selector.counts == "area"
    if sizes_frames and num_cones is not None:
        raise ValueError(
            f"the rule {rule!r} says how large each frame is; leave the number of Cones out"
        )
    large = None if sizes_frames else _num_cones(budget, num_cones)
    reader = video if isinstance(video, VideoReader) else VideoReader(video)
    if scorer is not None:
        scorer = scorer.for_question(reader, question)
        if scorer is None:  # nothing is known, so that the look decides
            rule = "events"
            selector = find_selector(rule, has_scorer=False)
    own = reader.size
    size = fit_size(own, LOOK_PIXELS) if scorer is None else scorer.size(own)
    seen = read_overview(
        reader, size, num_wanted=budget, fps=fps, fast=fast, progress=progress
    )
    words = () if scorer is None else scorer.words
    seen = _look_closer(reader, seen, [(one.start + one.end) / 2 for one in words])
    scores = None if scorer is None else FrameScores(scorer, seen, question)
    chosen = selector(as_selector_input(seen, scores), budget)
    return FrameSelection(
        reader=reader,
        question=question,
        duration=float(reader.duration),
        size=own,
        num_looked_at=len(seen.times),
        scorer=None if scorer is None else scorer.name,
        rule=rule,
        frames=_chosen_frames(seen.times, chosen, scores, large),
        words=words,
    )


def _look_closer(
    reader: VideoReader, seen: SampledFrames, times: Sequence[float]
) -> SampledFrames:
    """Add the frames on display at some moments to those that were looked at."""
    inside = sorted(time for time in times if reader.start <= time < reader.end)
    if not inside:
        return seen
    size = (seen.frames.shape[1], seen.frames.shape[2])
    more = reader.sample(times=inside, size=size)
    joined = np.concatenate([seen.times, more.times])
    times_seen, first = np.unique(joined, return_index=True)
    frames = np.concatenate([seen.frames, more.frames])
    return SampledFrames(frames[first], times_seen)


def _num_cones(budget: int, wanted: int | None) -> int:
    if wanted is None:
        return min(budget, max(_ALL_LARGE, round(_LARGE_SHARE * budget)))
    if not 0 <= wanted <= budget:
        raise ValueError(
            f"the number of Cones must be from 0 to the budget of {budget}, got {wanted}"
        )
    return wanted


def _chosen_frames(
    times: Floats, chosen: Selection, scores: FrameScores | None, num_large: int | None
) -> tuple[ChosenFrame, ...]:
    """Describe frames; those of a rule that sizes them are Rods from a quarter down."""
    fits = None if scores is None else scores.relevance(chosen.indices)
    ratings = None
    if scores is not None and scores.is_absolute:
        ratings = scores(chosen.indices)
    is_cone = np.arange(len(chosen.indices)) < (num_large or 0)
    is_cone &= chosen.scale == 1
    if num_large is None:
        is_cone = chosen.scale > SMALL
    frames = [
        ChosenFrame(
            time=float(times[index]),
            kind="cone" if is_cone[place] else "rod",
            rank=place + 1,
            importance=round(float(chosen.importance[place]), 6),
            relevance=None if fits is None else round(float(fits[place]), 6),
            rating=None if ratings is None else round(float(ratings[place]), 6),
            scale=round(float(chosen.scale[place]), 6) if is_cone[place] else 1.0,
        )
        for place, index in enumerate(chosen.indices)
    ]
    return tuple(sorted(frames, key=lambda frame: frame.time))
