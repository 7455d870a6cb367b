"""Choose the frames of a video that a question needs, exactly as many as asked for.

Letters: T frames looked at, C width of the features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dynfocus.methods.image_features import LOOK_PIXELS, fit_size, image_features
from dynfocus.methods.scorers import Floats, FrameScorer
from dynfocus.methods.selectors.aks import choose_aks
from dynfocus.methods.selectors.bolt import choose_bolt
from dynfocus.methods.selectors.events import (
    contrast_stretch,
    distinct_frames,
    find_events,
)
from dynfocus.video import SampledFrames, VideoReader

Progress = Callable[[int, int], None]

EVENTS = "events"
"""The rule of this project: events first, none twice before all once."""
RULES: dict[str, Callable[[Floats, int], NDArray[np.int64]] | None] = {
    "aks": choose_aks,
    "bolt": choose_bolt,
    EVENTS: None,
}
"""Rules by name; those that choose by scores alone, as functions of them."""

_NUM_LOOKS = (90, 300)
_LOOKS_PER_SECOND = 2.0
_LOOKS_PER_FRAME = 4
_MOST_LOOKS_PER_FRAME = 16
_LEAST_RELEVANCE = 0.05
"""Weight of the least relevant frame, so that no part of a video is out of reach."""
_TIME_WEIGHT = 1.0
"""Distance between the ends of a video that looks the same throughout; unlike scenes
are about 2 apart."""
_ALL_LARGE = 4
_LARGE_SHARE = 0.25
_FLAT = 1e-9
_WINDOW = 64


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
    """Density times distance of its event, 1 for the best event."""
    relevance: float | None
    """Relevance to the question, 1 for the most relevant frame; None without a scorer."""


@dataclass(frozen=True, kw_only=True)
class FrameSelection:
    """The frames that were chosen, in time order."""

    video: Path
    """The file."""
    question: str
    """The question."""
    duration: float
    """Length of the video in seconds."""
    size: tuple[int, int]
    """Height and width of the video as displayed."""
    num_looked_at: int
    """Frames that were compared."""
    scorer: str | None
    """What compared frames with the question."""
    rule: str
    """One of `RULES`."""
    frames: tuple[ChosenFrame, ...]
    """The frames, no two the same."""

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
        return VideoReader(self.video).sample(times=times, size=size)

    def to_dict(self) -> dict[str, Any]:
        """Give the selection as plain values that JSON can hold."""
        return {
            "video": str(self.video),
            "question": self.question,
            "duration": round(self.duration, 6),
            "num_looked_at": self.num_looked_at,
            "scorer": self.scorer,
            "rule": self.rule,
            "frames": [asdict(frame) for frame in self.frames],
        }


def select_frames(
    video: str | Path,
    question: str,
    budget: int,
    *,
    scorer: FrameScorer | None = None,
    rule: str = EVENTS,
    num_cones: int | None = None,
    fps: float | None = None,
    fast: bool = False,
    progress: Progress | None = None,
) -> FrameSelection:
    """Choose the frames of a video that a question needs.

    The frames looked at are clustered into events around density peaks (T-DPC, Eq. 1 and
    4 of the paper) by colours and edges, without weights. A frame is worth the
    importance of its event, density times distance, times its relevance to the question
    if there is a scorer. Frames are then taken one after another, each time the one whose
    worth times its distance to those taken is largest. So every event comes before a
    second frame of one, and a video that does not change is covered evenly. The rules
    ``"aks"`` and ``"bolt"`` choose by the scores alone, and rank by them.

    Args:
        video: Any video file.
        question: The question.
        budget: How many frames.
        scorer: What compares frames with the question; by default nothing does.
        rule: One of `RULES`; ``"aks"`` and ``"bolt"`` need a scorer.
        num_cones: How many of them, the first chosen, are Cones; by default all of four
            at most, otherwise a quarter but four at least.
        fps: Frames looked at in a second; by default 2, but 90 to 300 in all and at least
            four for each that is wanted.
        fast: Look at key frames alone, those nearest to the moments to be looked at.
            A long file is then looked through in a moment; what happens between two key
            frames is not seen.
        progress: Called with frames read and frames in all.

    Returns:
        The frames, exactly as many as asked for.

    Raises:
        ValueError: The budget or the number of Cones cannot be met, the question is
            empty, or the rule is not known or lacks a scorer.
    """
    choose_by_score = _checked_rule(rule, scorer)
    if not question.strip():
        raise ValueError("the question is empty; write what to look for in the video")
    if budget < 1:
        raise ValueError(f"the budget must be at least 1 frame, got {budget}")
    large = _num_cones(budget, num_cones)
    reader = VideoReader(video)
    looked = _look(reader, budget, scorer, fps, progress, fast=fast)
    small = _shrink(looked.frames, fit_size(reader.size, LOOK_PIXELS))
    features = image_features(small)
    events = _Events.of(features, looked.times, reader.duration)
    scores = None if scorer is None else scorer.score(looked, question)
    relevance = None if scores is None else _min_max(scores)
    if choose_by_score is None or scores is None:
        picked = events.pick(relevance, budget)
    else:
        chosen = choose_by_score(scores, budget)
        picked = sorted(chosen.tolist(), key=lambda index: -scores[index])
    frames = [
        ChosenFrame(
            time=float(looked.times[index]),
            kind="cone" if rank <= large else "rod",
            rank=rank,
            importance=round(float(events.importance[index]), 6),
            relevance=None if relevance is None else round(float(relevance[index]), 6),
        )
        for rank, index in enumerate(picked, 1)
    ]
    return FrameSelection(
        video=Path(video),
        question=question,
        duration=float(reader.duration),
        size=reader.size,
        num_looked_at=len(looked.times),
        scorer=None if scorer is None else scorer.name,
        rule=rule,
        frames=tuple(sorted(frames, key=lambda frame: frame.time)),
    )


def _num_cones(budget: int, wanted: int | None) -> int:
    if wanted is None:
        return min(budget, max(_ALL_LARGE, round(_LARGE_SHARE * budget)))
    if not 0 <= wanted <= budget:
        raise ValueError(
            f"the number of Cones must be from 0 to the budget of {budget}, got {wanted}"
        )
    return wanted


def _look(
    reader: VideoReader,
    budget: int,
    scorer: FrameScorer | None,
    fps: float | None,
    progress: Progress | None,
    *,
    fast: bool,
) -> SampledFrames:
    """Read small frames all over the video, at least as many as are wanted."""
    if budget > reader.frame_count:
        raise ValueError(
            f"the budget of {budget} frames is more than the {reader.frame_count} that "
            f"{reader.path.name} shows; ask for fewer"
        )
    own = reader.size
    size = fit_size(own, LOOK_PIXELS) if scorer is None else scorer.size(own)
    rate = fps if fps is not None else _choose_rate(reader, budget)
    while True:
        sampled = reader.sample(fps=rate, size=size, progress=progress, fast=fast)
        frames, times = distinct_frames(sampled.frames, sampled.times)
        if len(times) >= budget:
            return SampledFrames(frames, times)
        if fast:
            raise ValueError(
                f"the budget of {budget} frames is more than the {len(times)} key frames "
                f"that {reader.path.name} has for it; ask for fewer, or without fast"
            )
        is_last = rate * reader.duration > _MOST_LOOKS_PER_FRAME * reader.frame_count
        if fps is not None or is_last:
            raise ValueError(
                f"the budget of {budget} frames is more than the {len(times)} that were "
                "looked at; ask for fewer"
                + ("" if fps is None else ", or look at more (fps)")
            )
        rate *= 2


def _choose_rate(reader: VideoReader, budget: int) -> float:
    """Look at some frames for each that is wanted, no faster than frames come."""
    least, most = _NUM_LOOKS
    wanted = min(max(_LOOKS_PER_SECOND * reader.duration, least), most)
    wanted = max(wanted, _LOOKS_PER_FRAME * budget)
    return min(wanted / reader.duration, reader.fps)


def _shrink(frames: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Make frames as small as features are taken from, ``[T, h, w, 3]``."""
    if frames.shape[1:3] == size:
        return frames
    parts = []
    for start in range(0, len(frames), _WINDOW):
        window = np.ascontiguousarray(frames[start : start + _WINDOW])
        pixels = torch.from_numpy(window).permute(0, 3, 1, 2)
        small = F.interpolate(pixels.float(), size, mode="bilinear", antialias=True)
        parts.append(small.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(parts)


def _min_max(scores: Floats) -> Floats:
    """Scale scores to [0, 1]; equal ones all become 1."""
    spread = np.ptp(scores)
    if spread < _FLAT:
        return np.ones_like(scores)
    scaled: Floats = (scores - scores.min()) / spread
    return scaled


@dataclass(frozen=True, kw_only=True)
class _Events:
    """The frames looked at as events, from which frames are taken one after another."""

    points: Floats
    times: Floats
    duration: float
    importance: Floats
    density: Floats

    @classmethod
    def of(
        cls, features: NDArray[np.float32], times: Floats, duration: float
    ) -> _Events:
        """Cluster frames ``[T, C]`` and rate their events."""
        found = find_events(features, None, duration)
        peaks = found.score[0, found.centers[0]]
        importance = peaks[found.assignment[0]].double().numpy()
        density = found.density[0].double().numpy()
        stretch = contrast_stretch(torch.from_numpy(features))
        return cls(
            points=features.astype(np.float64) * stretch,
            times=times,
            duration=duration,
            importance=importance / max(importance.max(), np.finfo(float).tiny),
            density=density / max(density.max(), np.finfo(float).tiny),
        )

    def pick(self, relevance: Floats | None, budget: int) -> list[int]:
        """Take frames, each time the one that is worth most and far from those taken."""
        worth = self.importance.clip(min=_FLAT)
        if relevance is not None:
            worth = worth * (_LEAST_RELEVANCE + (1 - _LEAST_RELEVANCE) * relevance)
        scale = np.sqrt(self.points.shape[1])
        picked: list[int] = []
        gap = np.full(len(self.points), np.inf)
        for _ in range(budget):
            gain = worth * (gap if picked else self.density.clip(min=_FLAT))
            gain[picked] = -1.0
            index = int(gain.argmax())
            picked.append(index)
            unlike = np.linalg.norm(self.points - self.points[index], axis=1) / scale
            apart = np.abs(self.times - self.times[index]) / max(self.duration, _FLAT)
            gap = np.minimum(gap, unlike + _TIME_WEIGHT * apart)
        return picked


def _checked_rule(
    rule: str, scorer: FrameScorer | None
) -> Callable[[Floats, int], NDArray[np.int64]] | None:
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
    if RULES[rule] is not None and scorer is None:
        raise ValueError(
            f"rule {rule!r} chooses frames by their similarity to the question; give a "
            "scorer (--scorer), such as CLIP or SigLIP"
        )
    return RULES[rule]
