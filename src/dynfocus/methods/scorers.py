"""Scorers: what compares frames with words.

Letters: T frames, C width of the features.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class FrameScorer(Protocol):
    """Compares frames with words. A subclass encodes both; the scores follow."""

    @property
    def name(self) -> str:
        """Say what it is called."""

    def size(self, own: tuple[int, int]) -> tuple[int, int]:
        """Choose the height and width at which a video of some size is decoded."""

    def encode_frames(self, frames: NDArray[np.uint8]) -> Any:
        """Encode frames ``[T, H, W, 3]``, a dual encoder into unit vectors ``[T, C]``."""

    def encode_text(self, text: str) -> Any:
        """Encode words, a dual encoder into a unit vector ``[C]``."""

    def describe(self, encoded_frames: Any) -> NDArray[np.float32]:
        """Give what tells encoded frames apart, ``[T, C]``."""
        return np.asarray(encoded_frames, np.float32)

    def compare(self, encoded_frames: Any, encoded_text: Any) -> Floats:
        """Score encoded frames for an encoded text, ``[T]``; higher is better."""
        frames = np.asarray(encoded_frames, np.float64)
        scores: Floats = frames @ np.asarray(encoded_text, np.float64)
        return scores

    def score(self, frames: NDArray[np.uint8], text: str) -> Floats:
        """Score the frames ``[T, H, W, 3]`` of one video for a text, ``[T]``."""
        return self.compare(self.encode_frames(frames), self.encode_text(text))


class FocusedScorer(FrameScorer):
    """The score that a DynFocus model gives to the event of each frame.

    Args:
        model: A model of ours whose scores see the question.

    Raises:
        ValueError: Its scores do not see the question.
    """

    def __init__(self, model: Any) -> None:
        if not model.scores_see_question:
            raise ValueError(
                f"the scores of {model.name} do not see the question; name another "
                "scorer, or none"
            )
        self.model = model

    @property
    def name(self) -> str:
        """Give the name of the model."""
        return str(self.model.name)

    def size(self, own: tuple[int, int]) -> tuple[int, int]:
        """Give the size that the vision tower reads."""
        del own
        side = self.model.processor.frame_size
        return side, side

    def encode_frames(self, frames: NDArray[np.uint8]) -> Any:
        """Index the frames."""
        return self.model.index(frames)

    def encode_text(self, text: str) -> str:
        """Give the question as it is: the model reads it beside the frames."""
        return text

    def describe(self, encoded_frames: Any) -> NDArray[np.float32]:
        """Give the pooled frames, ``[T, C]``."""
        pooled = encoded_frames.features.pooled.flatten(1).float()
        return np.asarray(pooled.cpu().numpy(), np.float32)

    def compare(self, encoded_frames: Any, encoded_text: str) -> Floats:
        """Ask the score network; the language model does not run."""
        reports = self.model.score_frames(encoded_frames, encoded_text)
        return np.array([report.score for report in reports])


def load_scorer(scorer: str | Path | FrameScorer | None) -> FrameScorer | None:
    """Load a dual encoder by name or folder; anything else is a scorer already."""
    if not isinstance(scorer, str | Path):
        return scorer
    from dynfocus.methods.dual_encoder import DualEncoder

    return DualEncoder(str(scorer))
