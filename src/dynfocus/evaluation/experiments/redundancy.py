"""How much of a video is redundant: repeated frames and irrelevant frames (appendix A).

Letters: T frames, C width of the features.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynfocus.bulk.rows import Row, read_rows
from dynfocus.methods import FrameScorer, fit_size, image_features
from dynfocus.methods.image_features import LOOK_PIXELS
from dynfocus.methods.selectors.interface import min_max
from dynfocus.text import read_text
from dynfocus.video import VideoReader

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

_FLAT = 1e-9
"""Spread below which similarities count as all equal."""
NUM_BINS = 20
_FIELDS = ("video", "question", "answer", "evidence")


def repetition(features: NDArray[np.floating[Any]]) -> Floats:
    r"""Compare each frame with the next one: the scores of Eq. 14.

    .. math::
        \hat c_t = \mathrm{minmax}_t \cos(x_t, x_{t+1}), \qquad
        r_{rep} = \tfrac{1}{T-1} \textstyle\sum_t \mathbb 1[\hat c_t > \tau_1]

    Differs from the paper:
        Where all similarities are equal, as in a still picture, min-max has no
        meaning and the similarities stay as they are.

    Args:
        features: One row a frame, ``[T, C]``.

    Returns:
        Scores in [0, 1], shape ``[T - 1]``.
    """
    if features.ndim != 2 or not len(features):
        raise ValueError(
            f"features must have shape [T, C] with a frame at least, got {features.shape}"
        )
    return _min_max(_cosine(features[:-1], features[1:]))


def relevance(similarity: Floats) -> Floats:
    r"""Compare each frame with a question and its answer: the scores of Eq. 15.

    .. math::
        \hat a_t = \mathrm{minmax}_t \cos(x_t, y), \qquad
        r_{irr} = \tfrac{1}{T} \textstyle\sum_t \mathbb 1[\hat a_t < \tau_2]

    Args:
        similarity: Cosine of each frame to what the text encoder makes of question and
            answer, ``[T]``.

    Returns:
        Scores in [0, 1], shape ``[T]``.
    """
    return _min_max(similarity)


def _cosine(one: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> Floats:
    one, other = one.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosine: Floats = (one * other).sum(1) / np.maximum(lengths, np.finfo(float).tiny)
    return cosine


def _min_max(scores: Floats) -> Floats:
    if not len(scores) or np.ptp(scores) < _FLAT:
        return scores
    return min_max(scores)


@dataclass(frozen=True, kw_only=True)
class VideoRedundancy:
    """What was found in one video."""

    name: str
    num_frames: int
    repetition: Floats
    """Scores of Eq. 14, shape ``[T - 1]``."""
    relevance: tuple[Floats, ...]
    """Scores of Eq. 15 for each question, shape ``[T]`` each."""
    in_evidence: tuple[NDArray[np.bool_] | None, ...]
    """For each question, which frames lie in its evidence, ``[T]``; None if unknown."""

    def repeated(self, threshold: float) -> float:
        """Return the share of frames that repeat the one before them."""
        if not len(self.repetition):
            return 0.0
        return float((self.repetition > threshold).mean())

    def irrelevant(self, threshold: float) -> float | None:
        """Return the share of irrelevant frames over all questions; None without any."""
        if not self.relevance:
            return None
        return float(np.mean([(r < threshold).mean() for r in self.relevance]))

    def against_truth(self, threshold: float) -> tuple[float, float] | None:
        """Compare with the evidence, where it is known.

        Returns:
            Share of frames outside the evidence, and share of the frames inside it that
            were called irrelevant; None if no question has evidence.
        """
        known = [
            (scores, inside)
            for scores, inside in zip(self.relevance, self.in_evidence, strict=True)
            if inside is not None and inside.any()
        ]
        if not known:
            return None
        outside = np.mean([1 - inside.mean() for _, inside in known])
        lost = np.mean(
            [(scores[inside] < threshold).mean() for scores, inside in known]
        )
        return float(outside), float(lost)


def measure_redundancy(
    video: str | Path,
    scorer: FrameScorer | None = None,
    questions: Sequence[Row] = (),
    *,
    with_answers: bool = True,
    fps: float = 1.0,
    max_frames: int | None = None,
    progress: Progress | None = None,
) -> VideoRedundancy:
    """Score the frames of a video for repetition and relevance (Eq. 14, 15).

    Args:
        video: A file.
        scorer: What compares frames, and frames with words; by default colours and edges
            tell repetition, and nothing tells relevance.
        questions: What was asked about this video.
        with_answers: Whether frames are compared with question and answer, as in the
            paper, or with the question alone, which is all that a model of ours reads.
        fps: Frames looked at in a second.
        max_frames: At most so many frames, taken evenly.
        progress: Called with frames read and frames in all.

    Raises:
        ValueError: There are questions and no scorer.
    """
    reader = VideoReader(video)
    own = reader.size
    frames = reader.sample(
        fps=fps,
        max_frames=max_frames,
        size=fit_size(own, LOOK_PIXELS) if scorer is None else scorer.size(own),
        progress=progress,
    )
    relevances: list[Floats] = []
    if scorer is None:
        if questions:
            raise ValueError(
                "irrelevant frames need an encoder that reads words; name one with "
                "--encoder, such as openai/clip-vit-base-patch32 or a folder with one"
            )
        features = image_features(frames.frames)
    else:
        encoded = scorer.encode_frames(frames.frames)
        features = scorer.describe(encoded)
        for asked in questions:
            words = (
                f"{asked.question} {asked.answer or '' if with_answers else ''}".strip()
            )
            scores = scorer.compare(encoded, scorer.encode_text(words))
            relevances.append(relevance(scores))
    return VideoRedundancy(
        name=Path(video).name,
        num_frames=len(frames.frames),
        repetition=repetition(features),
        relevance=tuple(relevances),
        in_evidence=tuple(_in_evidence(frames.times, asked) for asked in questions),
    )


def _in_evidence(times: Floats, asked: Row) -> NDArray[np.bool_] | None:
    if not asked.evidence:
        return None
    inside = np.zeros(len(times), dtype=bool)
    for start, end in asked.evidence:
        inside |= (times >= start) & (times < end)
    return inside


def load_questions(path: str | Path) -> list[Row]:
    """Read questions from JSON lines such as the ``benchmark.jsonl`` of FocusWorld.

    Each line has ``video`` (a path beside the file) and ``question``, and may have
    ``answer``, ``evidence`` and whatever else.

    Returns:
        The rows, each with the whole path of its video.

    Raises:
        ValueError: Some lines are wrong; the first few are named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"questions file {path} does not exist")
    lines = map(_known_fields, read_text(path).split("\n"))
    rows = read_rows("\n".join(lines))
    for row in rows:
        if row.problem or row.also:
            problem = row.problem or "it names several videos; name one"
            raise ValueError(f"{path}: a row cannot be asked: {problem}")
        if row.question is None:
            raise ValueError(f"{path}: a row about {row.video} has no 'question'")
    return [replace(r, video=str((path.parent / r.video).resolve())) for r in rows]


def _known_fields(line: str) -> str:
    """Leave the fields of a line that matter here; what is wrong stays as it is."""
    try:
        found = json.loads(line)
        return json.dumps({name: found[name] for name in _FIELDS if name in found})
    except (ValueError, TypeError):
        return line


def draw_histograms(
    path: str | Path, found: Sequence[VideoRedundancy], thresholds: tuple[float, float]
) -> None:
    """Draw how often each score occurs, thresholds marked, as PNG, SVG or PDF."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    repeats = np.concatenate([f.repetition for f in found])
    relevant = [r for f in found for r in f.relevance]
    panels = [("frames that repeat the one before", repeats, thresholds[0], 1)]
    if relevant:
        scores = np.concatenate(relevant)
        panels.append(("frames that belong to the question", scores, thresholds[1], -1))
    for axis, (title, scores, threshold, side) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        counts, edges, bars = axis.hist(scores, NUM_BINS, range=(0, 1), color="#8fa3bf")
        for bar, edge in zip(bars, edges, strict=False):
            if side * (edge + 0.5 / NUM_BINS - threshold) > 0:
                bar.set_facecolor("#e08a1e")
        axis.axvline(threshold, color="#1c1e22", linewidth=1)
        axis.set(title=title, xlabel="score (min-max of a video)", ylabel="frames")
    figure.savefig(path, dpi=120)
