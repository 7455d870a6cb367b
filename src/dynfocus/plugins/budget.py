"""A budget of video tokens, and how it is shared among the steps of a video.

Letters: S steps, N tokens of a whole step, M tokens of a Cone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NUM_ROD_TOKENS = 2
_LEAST_CONE = NUM_ROD_TOKENS + 1
_LEAST_QUARTER = 16

ConeTokens = int | Literal["whole"] | None


@dataclass(frozen=True, kw_only=True)
class TokenBudget:
    """Share a number of tokens, exactly, by these rules.

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
            if cone < _LEAST_CONE:
                raise ValueError(
                    f"cone_tokens must be at least {_LEAST_CONE}, one more than a Rod, "
                    f"got {cone}; raise it or leave it out"
                )
        elif cone not in (None, "whole"):
            raise ValueError(
                f"cone_tokens must be a number of tokens or 'whole', got {cone!r}"
            )
        minimum = self.minimum
        if self.max_video_tokens < minimum:
            raise ValueError(
                f"max_video_tokens must be at least {minimum}, the tokens of one Rod"
                f"{' and of what follows the video' if self.num_tail else ''}, got "
                f"{self.max_video_tokens}; raise the budget"
            )

    @property
    def minimum(self) -> int:
        """The least budget."""
        return min(NUM_ROD_TOKENS, self.tokens_per_step) + self.num_tail

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

    def num_steps(self, num_steps: int) -> int:
        """Count the steps to keep of ``num_steps`` (rules 1 and 2)."""
        if num_steps * self.tokens_per_step <= self.num_for_steps:
            return num_steps
        half = self.num_for_steps // (2 * NUM_ROD_TOKENS)
        least = -(
            -self.num_for_steps // self.tokens_per_step
        )  # fewer could not hold it
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
