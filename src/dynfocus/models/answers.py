"""An answer and what it cost, frame by frame."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from dynfocus.focus import VideoTokens


@dataclass(frozen=True, kw_only=True)
class FrameReport:
    """What became of one sampled frame."""

    index: int
    """Position among the sampled frames."""
    time: float
    """Presentation time in seconds."""
    score: float
    """Score of the event that the frame belongs to, from 0 to 1."""
    kind: Literal["cone", "rod"]
    """``"cone"``: encoded finely; ``"rod"``: kept as a sketch."""
    tokens: int
    """Video tokens that the language model read for it."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model said, and what it read to say it."""

    text: str
    """The answer."""
    question: str
    """The question."""
    tokens: int
    """Video tokens that the language model read."""
    frames: list[FrameReport]
    """One entry a sampled frame, in time order."""
    seconds: float
    """Time from the call to the answer, decoding included."""

    def to_dict(self) -> dict[str, Any]:
        """Give the answer as plain values that JSON can hold."""
        return asdict(self)


def report_frames(tokens: VideoTokens) -> list[FrameReport]:
    """Tell what became of each frame of a block.

    Args:
        tokens: The video tokens of the block.

    Returns:
        One entry a frame, in time order; their tokens add up to the block's.
    """
    scores = tokens.scores.tolist()
    return [
        FrameReport(
            index=span.frame,
            time=span.time,
            score=score,
            kind=span.kind,
            tokens=span.length,
        )
        for span, score in zip(tokens.spans, scores, strict=True)
    ]
