"""What a selector is given and gives back, and what every selector is spared.

Letters: T frames to choose from, K frames to choose, C width of the features.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dynfocus.methods.pruners.interface import Pruner

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

SMALL = 0.25
"""Side of a frame that is kept small, beside a large one."""
_FLAT = 1e-12
_GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are spread however many there are."""
_AREA = 1e-6
"""By how much rounding may make small frames larger than what they stand for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SelectorInput:
    """The frames of a video, as a selector sees them."""

    times: Floats
    """Presentation times in seconds, increasing, ``[T]``."""
    features: Tensor
    """What tells frames apart: the distance of two, over the square root of ``C``, is
    about 1 between unlike scenes; ``[T, C]``."""
    compare: Callable[[Indices], Floats] | None = None
    """Compares some frames with the question, higher is better; None without a scorer."""
    quality: Floats | None = None
    """How fit each frame is to be shown: 1, less for a black or blurred one; ``[T]``."""
    describe: Callable[[Indices], Floats] | None = None
    """Gives the scorer's own vectors of some frames, ``[K, D]``; None where it has none."""
    question: str = ""
    """The question, from which rules that draw at random take their seed."""

    @property
    def num_frames(self) -> int:
        """Count the frames, ``T``."""
        return len(self.times)

    def score(self, indices: Indices | None = None) -> Floats:
        """Compare frames with the question; only these frames are encoded.

        Args:
            indices: The frames, ``[K]``; all by default.

        Returns:
            Their scores, ``[K]``, higher is better.

        Raises:
            ValueError: There is no scorer, or a score is not a finite number.
        """
        compare = self.require_scorer()
        if indices is None:
            indices = np.arange(self.num_frames)
        return checked_scores(compare(indices))

    def require_scorer(self) -> Callable[[Indices], Floats]:
        """Give what compares frames with the question, or refuse that there is nothing."""
        if self.compare is None:
            raise ValueError(
                "frames cannot be compared with the question without a scorer; give one "
                "(scorer=, --scorer), such as CLIP or SigLIP"
            )
        return self.compare

    def directions(self) -> Floats:
        """Give unit vectors of all frames, whose products are cosines, ``[T, D]``.

        They are the scorer's own; without one, features as they differ from the mean of
        the video, so that frames of unlike scenes have cosines around 0.
        """
        if self.describe is not None:
            vectors = np.asarray(
                self.describe(np.arange(self.num_frames)), dtype=np.float64
            )
        else:
            vectors = self.features.double().cpu().numpy()
            vectors = vectors - vectors.mean(0)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        is_none = lengths[:, 0] <= _FLAT
        vectors = vectors / np.where(is_none[:, None], 1.0, lengths)
        vectors[is_none] = np.eye(1, vectors.shape[1])  # such frames are alike
        return vectors

    def generator(self) -> np.random.Generator:
        """Give random numbers that are the same for one question about one video."""
        shown = np.round(self.times, 3).tobytes()
        return np.random.default_rng(
            zlib.crc32(self.question.encode(), zlib.crc32(shown))
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """The frames that a selector chose."""

    indices: Indices
    """The frames, the one that matters most first, none twice; ``[K]``."""
    scale: Floats
    """Side of each frame beside a large one, above 0 and at most 1; ``[K]``. A language
    model's tokens of a frame go with its square."""
    importance: Floats
    """How much each frame matters by the selector's rule, from 0 to 1; ``[K]``."""

    @classmethod
    def of(
        cls,
        indices: Indices,
        *,
        scale: Floats | float = 1.0,
        importance: Floats | float = 1.0,
    ) -> Selection:
        """Make a selection; a single scale or importance is that of every frame."""
        indices = np.asarray(indices, np.int64)
        return cls(
            indices=indices,
            scale=np.broadcast_to(np.float64(scale), indices.shape),
            importance=np.broadcast_to(np.float64(importance), indices.shape),
        )


@dataclass(frozen=True, kw_only=True)
class Selector:
    """A rule that chooses frames: a function, and what must be known before it is called."""

    choose: Callable[[SelectorInput, int], Selection]
    """Chooses so many frames, at most those there are."""
    needs_scorer: bool = False
    """Whether it does nothing without a scorer."""
    is_even: bool = False
    """Whether it looks at no frame, so that those it leaves out need not be read."""
    rest: Literal["dropped", "small", "whole", "pruned"] = "dropped"
    """What becomes of the frames beyond the number: they are left out, kept small, kept
    like the others, or kept like the others with such of their tokens as `keep` says."""
    keep: Pruner | None = None
    """Chooses among a host's tokens so many. Of a rule that prunes."""
    counts: Literal["frames", "area"] = "frames"
    """What the number limits: frames, or their area in whole frames, so that a frame of
    half the side is a quarter of one. Only of a rule that drops the rest."""

    def __call__(self, given: SelectorInput, num_keep: int) -> Selection:
        """Choose frames, and check what comes back.

        Args:
            given: The frames to choose from.
            num_keep: Frames to choose, ``K``, from 1; all if there are no more.

        Raises:
            ValueError: There is no frame, nothing to choose, no scorer where one is
                needed, or the rule did not choose as many different frames as it should.
        """
        if num_keep < 1:
            raise ValueError(f"num_keep must be at least 1, got {num_keep}")
        if not given.num_frames:
            raise ValueError("there are no frames to choose from")
        wanted = min(num_keep, given.num_frames)
        if self.needs_scorer:
            given.require_scorer()
        if self.counts == "area" and wanted == given.num_frames:
            return spread(given, np.arange(wanted))
        chosen = self.choose(given, wanted)
        if self.rest != "dropped":
            wanted = given.num_frames
        _check(chosen, wanted, given.num_frames, of_area=self.counts == "area")
        return chosen


def _check(chosen: Selection, wanted: int, num_frames: int, *, of_area: bool) -> None:
    """Refuse frames that are not as many, or as large, as they should be."""
    frames, scale = chosen.indices, chosen.scale
    is_right = len(frames) == len(np.unique(frames)) == len(scale)
    is_right &= bool(((frames >= 0) & (frames < num_frames)).all())
    if of_area:
        is_right &= 0 < (scale**2).sum() <= wanted + _AREA
    else:
        is_right &= len(frames) == wanted
    if not is_right or not ((scale > 0) & (scale <= 1)).all():
        many = f"an area of at most {wanted} in" if of_area else str(wanted)
        raise ValueError(
            f"the selector must choose {many} different frames of "
            f"{num_frames}, with scales above 0 and at most 1, got frames "
            f"{frames.tolist()} with scales {scale.tolist()}; correct its rule"
        )


def by_scores(rule: Callable[[Floats, int], Indices]) -> Selector:
    """Make a selector of a rule that chooses by the scores of all frames alone.

    Args:
        rule: Takes the scores, ``[T]``, and the number ``K``, and gives ``K`` frames.
    """

    def choose(given: SelectorInput, num_keep: int) -> Selection:
        scores = given.score()
        return ranked(rule(scores, num_keep), scores)

    return Selector(choose=choose, needs_scorer=True)


def ranked(
    chosen: Indices, scores: Floats, *, scale: Floats | float = 1.0
) -> Selection:
    """Make a selection of chosen frames: the largest first, of these the best-scored.

    Args:
        chosen: The frames, ``[K]``.
        scores: One of every frame, ``[T]``.
        scale: Side of each chosen frame, or of all of them.
    """
    chosen = np.asarray(chosen, np.int64)
    sides = np.broadcast_to(np.float64(scale), chosen.shape)
    order = np.lexsort((-scores[chosen], -sides))  # stable, the last key first
    best = chosen[order]
    return Selection.of(best, scale=sides[order], importance=min_max(scores)[best])


def spread(
    given: SelectorInput, chosen: Indices, *, scale: Floats | float = 1.0
) -> Selection:
    """Make a selection of frames that a question had no say in.

    Args:
        given: All frames.
        chosen: The frames, increasing, ``[K]``.
        scale: Side of each chosen frame, or of all of them.

    Returns:
        The largest first; of these the best-scored where there is a scorer, else such
        that the first few are spread over time.
    """
    chosen = np.asarray(chosen, np.int64)
    sides = np.broadcast_to(np.float64(scale), chosen.shape)
    if given.compare is None:
        order = np.lexsort((np.arange(len(chosen)) * _GOLDEN % 1, -sides))
        return Selection.of(chosen[order], scale=sides[order])
    scores = given.score(chosen)
    order = np.lexsort((-scores, -sides))
    importance = min_max(scores)[order]
    return Selection.of(chosen[order], scale=sides[order], importance=importance)


def checked_scores(scores: NDArray[np.floating], num_keep: int = 1) -> Floats:
    """Refuse scores ``[T]`` or a count that no rule can work with.

    Returns:
        The scores in double precision.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1:
        raise ValueError(
            f"scores must have shape [T], one a frame, got {list(values.shape)}"
        )
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).argmax())
        raise ValueError(
            f"scores must be finite, got {values[bad]} for frame {bad}; check what "
            "scored the frames"
        )
    if num_keep < 1:
        raise ValueError(f"num_keep must be at least 1, got {num_keep}")
    return values


def min_max(scores: NDArray[np.floating], equal: float = 1.0) -> Floats:
    """Scale scores to [0, 1].

    Args:
        scores: Any numbers.
        equal: What they become where all are equal.
    """
    values = np.asarray(scores, np.float64)
    if not values.size:
        return values
    spread = np.ptp(values)
    if spread <= _FLAT * np.abs(values).max():
        return np.full_like(values, equal)
    return (values - values.min()) / spread


def best_first(scores: Floats) -> Indices:
    """Order frames by falling score, ``[T]``; of equal ones the earlier goes first."""
    return np.argsort(-scores, kind="stable")


def top_up(chosen: Iterable[int], scores: Floats, num_keep: int) -> Indices:
    """Add the best-scored frames that are not chosen yet until there are enough.

    Args:
        chosen: At most ``K`` different frames; repetitions count once.
        scores: One a frame, ``[T]``.
        num_keep: Frames to choose, ``K``, at most ``T``.

    Returns:
        Frames in order of time, none twice, ``[K]``.
    """
    taken = np.zeros(len(scores), bool)
    taken[list(chosen)] = True
    order = best_first(scores)
    missing = num_keep - int(taken.sum())
    taken[order[~taken[order]][:missing]] = True
    return np.flatnonzero(taken)
