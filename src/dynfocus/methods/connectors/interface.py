"""What all connectors share: sizes, results, and the projector into the language model.

Letters beyond the shared ones: ``S`` tokens of a video, ``H`` width of the language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from dynfocus.methods.patches import VideoPatches


@dataclass(frozen=True, kw_only=True)
class ConnectorSizes:
    """The widths between which a connector stands."""

    num_patches: int
    """Patches of a frame, ``N``."""
    dim: int
    """Width of a patch, ``D``."""
    text_dim: int
    """Width of the text features."""
    hidden_size: int
    """Width of the language model, ``H``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ConnectedVideo:
    """The tokens of one video, ready for the language model."""

    embeds: Tensor
    """Token embeddings, shape ``[S, H]``."""
    pts_seconds: Tensor
    """Time of each token, shape ``[S]``; NaN for a token that belongs to no time."""
    fine_frames: Tensor
    """Frames that are encoded finely, by their places among all that were sampled,
    increasing, shape ``[K]``; empty if none is."""


class PreparedVideo(Protocol):
    """The half of a connector's work that does not depend on the question."""

    @property
    def num_frames(self) -> int:
        """Count the frames, ``T``."""
        ...


class Connector(Protocol):
    """Turns the patches of videos into tokens for the language model."""

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        ...

    def prepare(self, video: VideoPatches, num_read: int | None = None) -> Any:
        """Do once what does not depend on the question.

        Args:
            video: The patches of a video.
            num_read: At most so many of its frames have tokens: evenly spaced ones
                where the connector knows none better.
        """
        ...

    def __call__(
        self, videos: Sequence[Any], text: Tensor, text_mask: Tensor
    ) -> list[ConnectedVideo]:
        """Make the tokens of each video for its question.

        Args:
            videos: What `prepare` gave, ``B`` of them.
            text: Text features of the questions, shape ``[B, n, Dq]``.
            text_mask: True at real text tokens, shape ``[B, n]``.
        """
        ...


def build_projector(dim: int, hidden_size: int) -> nn.Sequential:
    """Build the two-layer perceptron between vision and language (LLaVA-1.5)."""
    return nn.Sequential(
        nn.Linear(dim, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size)
    )
