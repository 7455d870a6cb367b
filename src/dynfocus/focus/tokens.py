"""Video tokens with their place in time, and the accounting of token budgets."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dynfocus.focus.settings import NUM_ROD_TOKENS, FocusSettings


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
    starts: Tensor
    """First token of each frame, shape ``[T]``, int64."""
    lengths: Tensor
    """Number of tokens of each frame, shape ``[T]``, int64."""
    scores: Tensor
    """Score of the event prototype each frame belongs to, shape ``[T]``."""

    def __post_init__(self) -> None:
        num_frames = self.lengths.shape[0]
        for name in ("frame_indices", "pts_seconds", "is_cone", "starts", "scores"):
            shape = tuple(getattr(self, name).shape)
            if shape != (num_frames,):
                raise ValueError(
                    f"{name} must have shape ({num_frames},), one entry a frame, "
                    f"got {shape}; build every field from the same frames"
                )
        ends = self.lengths.cumsum(0)
        num_tokens = int(ends[-1]) if num_frames else 0
        if not torch.equal(self.starts, ends - self.lengths):
            raise ValueError(
                "starts must follow from lengths without gap or overlap, got "
                f"{self.starts.tolist()} for lengths {self.lengths.tolist()}; "
                "use the running sum of lengths"
            )
        if self.embeds.shape[0] != num_tokens:
            raise ValueError(
                f"embeds must hold the {num_tokens} tokens of all frames, got "
                f"{self.embeds.shape[0]}; the lengths must add up to its rows"
            )

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


@dataclass(frozen=True)
class TokenPlan:
    """What a token budget buys: so many frames, so many of them as Cones."""

    num_frames: int
    num_cones: int
    num_tokens: int


def cone_and_rod_lengths(num_frames: int, settings: FocusSettings) -> tuple[int, int]:
    """Return the tokens of a kept and of another frame of a video (Eq. 13).

    Differs from the paper:
        Without ``cones_with_rods`` a kept frame has no Rods, except the only
        frame of a single-frame video, an image, as in the published code.
    """
    with_rods = settings.cones_with_rods or num_frames == 1
    extra = NUM_ROD_TOKENS if with_rods else 0
    return settings.num_tokens_per_cone + extra, NUM_ROD_TOKENS


def num_video_tokens(
    num_frames: int, settings: FocusSettings, max_cones: int | None = None
) -> int:
    """Count the tokens of a video from its number of frames alone.

    Args:
        num_frames: Sampled frames, from 1; ``T`` in the paper.
        settings: The settings of the network.
        max_cones: Upper limit on Cones below the one of the settings.

    Returns:
        ``K (P + M + 2) + 2 (T - K)`` with the paper's settings; ``max_read_frames``
        stands in place of a larger ``T``.
    """
    num_cones = _num_cones(num_frames, settings, max_cones)
    num_frames = settings.num_read_frames_for(num_frames)
    cone, rod = cone_and_rod_lengths(num_frames, settings)
    return num_cones * cone + (num_frames - num_cones) * rod


def plan_budget(
    num_frames: int, settings: FocusSettings, max_video_tokens: int
) -> TokenPlan:
    """Fit a video into a token budget, which is never exceeded.

    All frames stay if at least one of them can be a Cone, with as many Cones as
    fit; otherwise there is one Cone and as many frames as fit.

    Args:
        num_frames: Sampled frames, from 1.
        settings: The settings of the network.
        max_video_tokens: The budget.

    Returns:
        The frames to read, the Cones among them and the tokens they take.
    """
    _check_num_frames(num_frames)
    num_frames = settings.num_read_frames_for(num_frames)
    minimum = num_video_tokens(1, settings)
    if max_video_tokens < minimum:
        raise ValueError(
            f"max_video_tokens must be at least {minimum}, the tokens of one frame, "
            f"got {max_video_tokens}; raise the budget"
        )
    if num_video_tokens(num_frames, settings, 1) > max_video_tokens:
        cone, rod = cone_and_rod_lengths(2, settings)
        num_frames = max(1, (max_video_tokens - cone) // rod + 1)
    cone, rod = cone_and_rod_lengths(num_frames, settings)
    spare = max_video_tokens - num_video_tokens(num_frames, settings, 1)
    affordable = 1 + spare // (cone - rod) if cone > rod else num_frames
    num_cones = min(affordable, settings.num_cones_for(num_frames))
    num_tokens = num_video_tokens(num_frames, settings, num_cones)
    return TokenPlan(num_frames, num_cones, num_tokens)


def _num_cones(num_frames: int, settings: FocusSettings, max_cones: int | None) -> int:
    _check_num_frames(num_frames)
    num_cones = settings.num_cones_for(num_frames)
    if max_cones is None:
        return num_cones
    if max_cones < 1:
        raise ValueError(
            f"max_cones must be at least 1, got {max_cones}; "
            "leave it out for no limit of its own"
        )
    return min(num_cones, max_cones)


def _check_num_frames(num_frames: int) -> None:
    if num_frames < 1:
        raise ValueError(
            f"num_frames must be at least 1, got {num_frames}; "
            "a video needs a frame to have tokens"
        )
