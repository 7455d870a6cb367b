"""Video tokens with their place in time, and what a video costs.

Everything that counts tokens or allots them to frames is here: `FocusBudget` for the
dynamic cooperative network, `HostBudget` for an existing model, `CountedBudget` for any
other connector.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from dynfocus.focus.settings import FocusSettings


NUM_ROD_TOKENS = 2
"""A Rod is one context token and one content token (Eq. 12)."""

ConeTokens = int | Literal["whole"] | None
_LEAST_QUARTER = 16


@dataclass(frozen=True)
class TokenSpan:
    """The tokens of one frame: the half-open range from ``start`` of ``length``."""

    frame: int
    time: float
    kind: Literal["cone", "rod"]
    start: int
    length: int


@dataclass(frozen=True)
class VideoTokens:
    """The tokens of one video as the language model reads them (Eq. 13).

    The frames stand in time order and their spans cover the tokens without gap
    or overlap. Everything but ``embeds`` lies on the CPU.
    """

    embeds: Tensor
    """Token embeddings, shape ``[S, H]``; the ``O_t`` of all frames in a row."""
    frame_indices: Tensor
    """Position of each frame among the sampled frames, shape ``[T]``, int64."""
    pts_seconds: Tensor
    """Presentation time of each frame, shape ``[T]``, float64; NaN if unknown."""
    is_cone: Tensor
    """Whether each frame is a Cone, shape ``[T]``, bool; ``b_t`` in the paper."""
    lengths: Tensor
    """Number of tokens of each frame, shape ``[T]``, int64."""
    scores: Tensor
    """Score of the event prototype each frame belongs to, shape ``[T]``."""
    ratings: Tensor | None = None
    """How well each frame by itself fits the question, from 0 to 1, shape ``[T]``; None
    where frames are not rated."""

    def __post_init__(self) -> None:
        num_frames = self.lengths.shape[0]
        for name in ("frame_indices", "pts_seconds", "is_cone", "scores"):
            shape = tuple(getattr(self, name).shape)
            if shape != (num_frames,):
                raise ValueError(
                    f"{name} must have shape ({num_frames},), one entry a frame, "
                    f"got {shape}; build every field from the same frames"
                )
        if self.embeds.shape[0] != int(self.lengths.sum()):
            raise ValueError(
                f"embeds must hold the {int(self.lengths.sum())} tokens of all frames, "
                f"got {self.embeds.shape[0]}; the lengths must add up to its rows"
            )

    @property
    def starts(self) -> Tensor:
        """First token of each frame, shape ``[T]``, int64."""
        return self.lengths.cumsum(0) - self.lengths

    @property
    def frame_of_token(self) -> Tensor:
        """Position in these frames of the one that each token is of, ``[S]``, int64."""
        return torch.arange(len(self.lengths)).repeat_interleave(self.lengths)

    @property
    def spans(self) -> tuple[TokenSpan, ...]:
        """The span of each frame in time order."""
        columns = zip(
            self.frame_indices.tolist(),
            self.pts_seconds.tolist(),
            self.is_cone.tolist(),
            self.starts.tolist(),
            self.lengths.tolist(),
            strict=True,
        )
        return tuple(
            TokenSpan(frame, time, "cone" if cone else "rod", start, length)
            for frame, time, cone, start, length in columns
        )


def lay_out(
    cones: Tensor,
    rods: Tensor,
    mask: Tensor,
    is_cone: Tensor,
    *,
    has_rods: Tensor,
    rods_first: Tensor,
    scores: Tensor,
    pts_seconds: Tensor | None,
) -> list[VideoTokens]:
    """Lay the tokens of each video out in time order (Eq. 13).

    Args:
        cones: Cones of the kept frames in a row, shape ``[sum K, C, H]``.
        rods: Rods of the real frames in a row, shape ``[F, 2, H]``.
        mask: True at real frames, shape ``[B, T]``.
        is_cone: True at kept frames, shape ``[B, T]``.
        has_rods: True at real frames that have their Rods, shape ``[F]``.
        rods_first: True at those whose Rods stand before their Cones, shape ``[F]``.
        scores: Score of each frame, shape ``[B, T]``.
        pts_seconds: Presentation time of each frame, ``[B, T]``; None if unknown.
    """
    kept, frame = is_cone[mask], torch.arange(len(rods), device=rods.device)
    places = torch.cat(  # two for each frame
        [
            (2 * frame + rods_first)[kept].repeat_interleave(cones.shape[1]),
            (2 * frame + ~rods_first)[has_rods].repeat_interleave(NUM_ROD_TOKENS),
        ]
    )
    tokens = torch.cat([cones.flatten(0, 1), rods[has_rods].flatten(0, 1)])
    lengths = kept * cones.shape[1] + has_rods * NUM_ROD_TOKENS
    times = torch.full(lengths.shape, torch.nan, dtype=torch.float64)
    if pts_seconds is not None:
        times = pts_seconds.detach()[mask].cpu().double()
    facts = (lengths, mask.nonzero()[:, 1], times, kept, scores.detach()[mask])
    num_frames = mask.sum(1).tolist()
    columns = zip(*(torch.split(fact.cpu(), num_frames) for fact in facts), strict=True)
    videos = list(columns)
    embeds = torch.split(
        tokens[places.sort(stable=True).indices],
        [int(length.sum()) for length, *_ in videos],
    )
    return [
        VideoTokens(
            embeds=own,
            frame_indices=frames,
            pts_seconds=seconds,
            is_cone=cone,
            lengths=length,
            scores=score,
        )
        for own, (length, frames, seconds, cone, score) in zip(
            embeds, videos, strict=True
        )
    ]


class TokenPlan(NamedTuple):
    """What a budget buys: so many frames, so many of them as Cones."""

    num_frames: int
    num_cones: int
    num_tokens: int


@dataclass(frozen=True, kw_only=True)
class TokenBudget(ABC):
    """Count the tokens of a video and choose how many of its frames have which.

    The number of tokens depends on the number of frames alone, never on their content,
    unless it ``varies``: then the numbers here are the most that there can be.
    A budget is never exceeded, and one that does not bind changes nothing.
    """

    max_video_tokens: int | None = None
    """The budget; None for as many tokens as the video takes."""
    varies: bool = False
    """Whether a video may have fewer tokens than are counted, by its content."""

    def __post_init__(self) -> None:
        least = self.minimum
        if self.max_video_tokens is not None and self.max_video_tokens < least:
            raise ValueError(
                f"max_video_tokens must be at least {least}, the tokens of "
                f"{self._of_minimum}, got {self.max_video_tokens}; raise the budget"
            )

    @property
    @abstractmethod
    def minimum(self) -> int:
        """The least budget."""

    @property
    def _of_minimum(self) -> str:
        return "one frame"

    @abstractmethod
    def plan(self, num_frames: int) -> TokenPlan:
        """Fit a video of so many sampled frames into the budget."""


@dataclass(frozen=True, kw_only=True)
class FocusBudget(TokenBudget):
    """The tokens of the dynamic cooperative network (Eq. 13).

    All frames stay if at least one of them can be a Cone, with as many Cones as fit;
    otherwise there is one Cone and as many frames as fit.

    Differs from the paper:
        Without ``cones_with_rods`` a kept frame has no Rods, except the only frame of a
        single-frame video, an image, as in the published code.
    """

    settings: "FocusSettings"
    """The settings of the network."""
    most_cones: int | None = None
    """Frames that can become Cones, where that is known, in place of the settings' share
    of the event prototypes."""

    @property
    def minimum(self) -> int:
        """The tokens of a single frame."""
        return self.num_tokens(1)

    def num_cones(self, num_frames: int) -> int:
        """Count the frames of a video of ``num_frames`` that become Cones, if all fit."""
        if self.most_cones is None:
            return self.settings.num_cones_for(num_frames)
        return min(num_frames, self.most_cones)

    def lengths(self, num_frames: int) -> tuple[int, int]:
        """Count the tokens of a kept and of another frame of a video."""
        with_rods = self.settings.cones_with_rods or num_frames == 1
        extra = NUM_ROD_TOKENS if with_rods else 0
        return self.settings.num_tokens_per_cone + extra, NUM_ROD_TOKENS

    def num_tokens(self, num_frames: int, max_cones: int | None = None) -> int:
        """Count the tokens of a video without a budget.

        Args:
            num_frames: Sampled frames, from 1; ``T`` in the paper.
            max_cones: Upper limit on Cones below the one of the settings.

        Returns:
            ``K (P + M + 2) + 2 (T - K)`` with the paper's settings; ``max_read_frames``
            stands in place of a larger ``T``.
        """
        _check_count("num_frames", num_frames, "a video needs a frame to have tokens")
        num_cones = self.num_cones(num_frames)
        if max_cones is not None:
            _check_count("max_cones", max_cones, "leave it out for no limit of its own")
            num_cones = min(num_cones, max_cones)
        num_read = self.settings.num_read_frames_for(num_frames)
        cone, rod = self.lengths(num_read)
        return num_cones * cone + (num_read - num_cones) * rod

    def plan(self, num_frames: int) -> TokenPlan:
        """Fit a video of ``num_frames`` sampled frames, from 1, into the budget."""
        num_tokens = self.num_tokens(num_frames)
        num_frames = self.settings.num_read_frames_for(num_frames)
        num_cones = self.num_cones(num_frames)
        budget = self.max_video_tokens
        if budget is not None and num_tokens > budget:
            if self.num_tokens(num_frames, 1) > budget:
                cone, rod = self.lengths(2)
                num_frames = max(1, (budget - cone) // rod + 1)
            cone, rod = self.lengths(num_frames)
            spare = budget - self.num_tokens(num_frames, 1)
            affordable = 1 + spare // (cone - rod) if cone > rod else num_frames
            num_cones = min(affordable, self.num_cones(num_frames))
            num_tokens = self.num_tokens(num_frames, num_cones)
        return TokenPlan(num_frames, num_cones, num_tokens)


@dataclass(frozen=True, kw_only=True)
class HostBudget(TokenBudget):
    """The tokens of an existing model, shared among the steps of a video, exactly.

    Letters: ``N`` tokens of a whole step, ``M`` tokens of a Cone. The rules:

    1. A video that fits stays whole, every step with its ``N`` tokens.
    2. Otherwise every step gets two tokens, as a Rod. If that took more than half of the
       budget, steps are left out evenly until it takes half.
    3. What remains makes steps into Cones of ``M`` tokens, the best-scored first.
    4. What is too little for another Cone goes to the next step, as a smaller Cone. If
       all steps are Cones already, they share the rest evenly, the best-scored the odd
       tokens.

    Tokens that belong to no step, such as a newline after the video, count too.
    """

    max_video_tokens: int
    """The budget."""
    tokens_per_step: int
    """Tokens of a whole step, ``N``."""
    num_tail: int = 0
    """Tokens that belong to no step."""
    cone_tokens: ConeTokens = None
    """Tokens of a Cone, ``M``: a number, ``"whole"``, or for None a quarter of ``N``, but
    no fewer than 16."""

    def __post_init__(self) -> None:
        cone = self.cone_tokens
        if isinstance(cone, int) and not isinstance(cone, bool):
            if cone <= NUM_ROD_TOKENS:
                raise ValueError(
                    f"cone_tokens must be at least {NUM_ROD_TOKENS + 1}, one more than a "
                    f"Rod, got {cone}; raise it or leave it out"
                )
        elif cone not in (None, "whole"):
            raise ValueError(
                f"cone_tokens must be a number of tokens or 'whole', got {cone!r}"
            )
        super().__post_init__()

    @property
    def minimum(self) -> int:
        """The tokens of one Rod and of what follows the video."""
        return min(NUM_ROD_TOKENS, self.tokens_per_step) + self.num_tail

    @property
    def _of_minimum(self) -> str:
        return f"one Rod{' and of what follows the video' if self.num_tail else ''}"

    @property
    def num_for_steps(self) -> int:
        """Tokens that the steps may have."""
        return self.max_video_tokens - self.num_tail

    @property
    def tokens_per_cone(self) -> int:
        """Tokens of a Cone, ``M``, at most ``N``."""
        whole = self.tokens_per_step
        if self.cone_tokens == "whole":
            return whole
        cone = self.cone_tokens or max(_LEAST_QUARTER, -(-whole // 4))
        return min(cone, whole)

    @property
    def num_whole_steps(self) -> int:
        """Count the whole steps that fit; one at least."""
        fitting = self.num_for_steps // self.tokens_per_step
        if fitting < 1:
            raise ValueError(
                f"max_video_tokens must be at least {self.tokens_per_step + self.num_tail}"
                f", the tokens of one whole frame, got {self.max_video_tokens}; raise the "
                "budget or use method 'dynfocus'"
            )
        return fitting

    def plan(self, num_frames: int) -> TokenPlan:
        """Fit a video of so many steps into the budget (rules 1 to 4)."""
        shares = self.share(self.num_steps(num_frames))
        return TokenPlan(
            num_frames=len(shares),
            num_cones=sum(share > NUM_ROD_TOKENS for share in shares),
            num_tokens=sum(shares) + self.num_tail,
        )

    def num_steps(self, num_steps: int) -> int:
        """Count the steps to keep of ``num_steps`` (rules 1 and 2)."""
        total, whole = self.num_for_steps, self.tokens_per_step
        if num_steps * whole <= total:
            return num_steps
        half = total // (2 * NUM_ROD_TOKENS)
        least = -(-total // whole)  # fewer could not hold the budget
        return min(num_steps, max(half, least))

    def share(self, num_steps: int) -> list[int]:
        """Share the budget among steps that are kept (rules 1, 3 and 4).

        Args:
            num_steps: Steps, no more than `num_steps` keeps.

        Returns:
            Tokens of the best-scored step, of the next one, and so on. Their sum is the
            budget, unless all steps whole are fewer.
        """
        whole, total = self.tokens_per_step, self.num_for_steps
        if num_steps * whole <= total:
            return [whole] * num_steps
        cone, rod = self.tokens_per_cone, min(NUM_ROD_TOKENS, whole)
        spare = total - num_steps * rod
        num_cones = spare // (cone - rod) if cone > rod else num_steps
        if num_cones >= num_steps:
            each, odd = divmod(total, num_steps)
            return [each + (rank < odd) for rank in range(num_steps)]
        shares = [cone] * num_cones + [rod] * (num_steps - num_cones)
        shares[num_cones] += spare - num_cones * (cone - rod)
        return shares


@dataclass(frozen=True, kw_only=True)
class CountedBudget(TokenBudget):
    """The tokens of anything that counts them by the number of frames.

    A budget buys the most frames whose tokens fit.
    """

    count: Callable[[int], int]
    """Tokens of a video of so many frames."""
    count_cones: Callable[[int], int] | None = None
    """How many of so many frames are Cones; by default none is finer than another."""

    @property
    def minimum(self) -> int:
        """The tokens of a single frame."""
        return self.count(1)

    def plan(self, num_frames: int) -> TokenPlan:
        """Find the largest number of frames, up to ``num_frames``, that fits."""
        _check_count("num_frames", num_frames, "a video needs a frame to have tokens")
        most = self.max_video_tokens
        while most is not None and num_frames > 1 and self.count(num_frames) > most:
            num_frames -= 1
        num_cones = 0 if self.count_cones is None else self.count_cones(num_frames)
        return TokenPlan(num_frames, num_cones, self.count(num_frames))


def share_budget(
    total: int,
    wanted: Sequence[int],
    least: Sequence[int],
    name: str = "max_video_tokens",
) -> list[int]:
    """Share a budget among several videos: evenly, and what one leaves goes to the others.

    Args:
        total: The budget of all videos.
        wanted: Tokens that each would take without a budget.
        least: The least that each can do with.
        name: What the budget is called in the message.

    Returns:
        The budget of each: what it wants, or as much as any other that wants more has;
        the odd tokens go to the first.

    Raises:
        ValueError: The budget is less than all need at least.
    """
    if total < sum(least):
        raise ValueError(
            f"{name} must be at least {sum(least)}, the least of {len(least)} videos, "
            f"got {total}; raise it or ask about fewer"
        )

    def at(level: int) -> list[int]:
        return [max(low, min(w, level)) for w, low in zip(wanted, least, strict=True)]

    levels = range(max(wanted) + 1)
    level = bisect_right(levels, total, key=lambda one: sum(at(one))) - 1
    shares = at(level)
    odd = total - sum(shares)
    for video, share in enumerate(shares):
        if odd and share == level < wanted[video]:
            shares[video], odd = share + 1, odd - 1
    return shares


def _check_count(name: str, value: int, remedy: str) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}; {remedy}")
