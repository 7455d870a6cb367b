"""One budget of video tokens for two passes over a video, at two frequencies.

Letters: N tokens of a whole step, a frame or for some models a pair of frames.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from dynfocus.focus.tokens import NUM_ROD_TOKENS

ROD_SCALE = 0.0
"""Scale of a step of which a Rod is kept, the fewest tokens of all."""
_LEAST_LOW = 16
_LEAST_DENSE = 8


class FrameShare(NamedTuple):
    """What a part of a budget buys: so many frames of one size."""

    num_frames: int
    scale: float
    """Side of a frame beside a whole one; its tokens go with the square."""
    num_tokens: int


@dataclass(frozen=True, kw_only=True)
class TwoPassBudget:
    """Share one budget among two passes, exactly as far as whole frames allow.

    The rules:

    1. A third buys the low-frequency frames, which are read in pass 1 and again in pass 2.
    2. Dense frames, read in pass 2, get what these leave: a third, or two where pass 1 is
       not needed.
    3. Frames are whole if at least 16 low ones, and 8 dense ones, then fit, or all that are
       wanted; otherwise they are smaller by the next of ``scales``, and so on.

    Tokens that belong to no frame, such as a newline after the video, count in each pass.
    """

    max_video_tokens: int | None
    """The budget; None for none, where all frames that are wanted are whole."""
    tokens_per_step: int | None
    """Tokens of a whole step, ``N``; None where the model itself allots what a pass may
    have, and all frames that are wanted are given to it."""
    frames_per_step: int = 1
    """Frames of a step."""
    num_tail: int = 0
    """Tokens of a pass that belong to no step."""
    scales: tuple[float, ...] = (1.0, 0.5, 0.25)
    """Sides that a frame may have, falling; ``(1.0,)`` where frames have one size."""
    least: int = 0
    """The least that a pass can have."""
    cone_tokens: int | None = None
    """Tokens of a Cone with its Rod, of a model that has Cones of its own; a method that
    says itself which frames become Cones counts with it in place of `tokens_per_step`."""

    def step_tokens(self, scale: float) -> int:
        """Count the tokens of a step at a scale."""
        whole = self.tokens_per_step or 0
        return max(min(NUM_ROD_TOKENS, whole), int(whole * scale**2))

    def low(self, num_frames: int) -> FrameShare | None:
        """Say how many of ``num_frames`` low-frequency frames are read, twice.

        Returns:
            The share of one pass; None where the budget is too small for two passes: one
            frame of several tells nothing of when something happens.
        """
        third = None
        if self.max_video_tokens is not None:
            third = (self.max_video_tokens - 2 * self.num_tail) // 3
            if third + self.num_tail < self.least:
                return None
        share = self.fit(third, num_frames, least=_LEAST_LOW)
        if share is None or share.num_frames > self.frames_per_step:
            return share
        return share if num_frames <= self.frames_per_step else None

    def dense(
        self, num_frames: int, low: FrameShare, *, has_grounded: bool
    ) -> FrameShare | None:
        """Say how many of ``num_frames`` dense frames are read beside the low ones.

        Args:
            num_frames: Frames that are wanted, from 1.
            low: What `low` gave.
            has_grounded: Whether the low ones were read in a pass 1.

        Returns:
            The share; None where nothing is left for a frame.
        """
        left = self.left(low if has_grounded else None)
        if left is not None:
            left -= low.num_tokens + self.num_tail
        return self.fit(left, num_frames, least=_LEAST_DENSE)

    def rods_and_cones(
        self, num_low: int, num_dense: int, spent: FrameShare | None
    ) -> tuple[FrameShare, FrameShare] | None:
        """Share what pass 2 may read among Rods and the dense frames.

        Rods of low-frequency frames have half of it at most, and leave what a dense frame
        needs; dense frames have the rest, as large as all that are wanted may be.

        Args:
            num_low: Low-frequency frames that are wanted, from 1.
            num_dense: Dense frames that are wanted, from 1.
            spent: What pass 1 has read; None where there was none.

        Returns:
            The shares of both; None where nothing is left for a frame of either.
        """
        even = self
        if self.cone_tokens is not None:
            even = replace(self, tokens_per_step=self.cone_tokens)
        left = self.left(spent)
        most = None
        if left is not None:
            left -= self.num_tail
            most = max(0, min(left // 2, left - even.step_tokens(self.scales[-1])))
        rods = replace(even, scales=(ROD_SCALE,)).fit(most, num_low)
        if rods is None:
            return None
        rest = None if left is None else left - rods.num_tokens
        dense = even.fit(rest, num_dense, least=num_dense)
        return None if dense is None else (rods, dense)

    def first(self, low: FrameShare) -> int | None:
        """Count what pass 1 may read, by what `low` gave; None for no budget."""
        return None if self.max_video_tokens is None else low.num_tokens + self.num_tail

    def left(self, spent: FrameShare | None) -> int | None:
        """Count what pass 2 may read, by what pass 1 has read; None for no budget."""
        if self.max_video_tokens is None or spent is None:
            return self.max_video_tokens
        return self.max_video_tokens - spent.num_tokens - self.num_tail

    def fit(
        self,
        tokens: int | None,
        num_frames: int,
        *,
        scale: float = 1.0,
        least: int = 1,
    ) -> FrameShare | None:
        """Say how many frames a part of the budget buys, and how large they are.

        Args:
            tokens: The part; None for no budget.
            num_frames: Frames that are wanted, from 1.
            scale: The largest side that they may have.
            least: So many of them are to fit, or all that are wanted, before they are
                larger than the least of ``scales``.

        Returns:
            The share; None where it does not buy a frame. Of a model that allots what a
            pass may have by itself, all frames.
        """
        if self.tokens_per_step is None:
            return FrameShare(num_frames, 1.0, tokens or 0)
        wanted = -(-num_frames // self.frames_per_step)
        enough = min(wanted, -(-least // self.frames_per_step))
        sides = [one for one in self.scales if one <= scale] or [self.scales[-1]]
        for side in sides:
            each = self.step_tokens(side)
            steps = wanted if tokens is None else min(wanted, tokens // each)
            if steps >= enough or side == sides[-1]:
                frames = min(steps * self.frames_per_step, num_frames)
                return FrameShare(frames, side, steps * each) if steps > 0 else None
        raise AssertionError("scales must not be empty")
