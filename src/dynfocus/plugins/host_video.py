"""A video as a host reads it, before any question: kept, and asked often.

Letters: S steps, N tokens a step, H width of the language model, E layers, F frames of a
step, R regions, C width of the scorer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class HostVideo:
    """Hold the host's tokens of an encoded video: the features of its `VideoIndex`."""

    tokens: Tensor
    """The host's own tokens, ``[S, N, H]``."""
    layers: Tensor | None
    """What the host adds after its first layers, ``[S, N, E, H]``."""
    tail: Tensor
    """Tokens after the last step, ``[0 or more, H]``."""
    grid: tuple[int, int]
    """Rows and columns of the tokens of a step."""
    num_front: int
    """Tokens of a step before its grid."""
    steps: Tensor
    """Position of each step among those that were sampled, ``[S]``, increasing."""
    frame_seconds: Tensor
    """Times of the frames of each step, ``[S, F]``, float64."""
    duration: float
    """Length of the video in seconds, which some prompts tell."""
    regions: Tensor | None = None
    """What the scorer sees of each step and its regions, ``[S, 1 + R, C]``."""

    @property
    def pts_seconds(self) -> Tensor:
        """Time of the first frame of each step, ``[S]``."""
        return self.frame_seconds[:, 0]

    @property
    def num_steps(self) -> int:
        """Count the steps, ``S``."""
        return int(self.tokens.shape[0])

    @property
    def num_frames(self) -> int:
        """Count the steps, under the name that all features have."""
        return self.num_steps

    @property
    def tokens_per_step(self) -> int:
        """Count the tokens of a step, ``N``."""
        return int(self.tokens.shape[1])

    @property
    def num_tokens(self) -> int:
        """Count all visual tokens."""
        return self.num_steps * self.tokens_per_step + len(self.tail)

    def take(self, rows: Tensor) -> HostVideo:
        """Keep some steps, given by increasing rows ``[S']``."""
        if len(rows) == self.num_steps:
            return self
        picked = rows.to(self.tokens.device)
        return replace(
            self,
            tokens=self.tokens[picked],
            layers=None if self.layers is None else self.layers[picked],
            steps=self.steps[rows],
            frame_seconds=self.frame_seconds[rows],
            regions=None if self.regions is None else self.regions[rows],
        )
