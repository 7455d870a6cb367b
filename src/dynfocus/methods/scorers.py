"""How much each frame has to do with a question.

Letters: T frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dynfocus.methods.dual_encoder import DualEncoder
from dynfocus.video import SampledFrames

Floats = NDArray[np.float64]


class FrameScorer(Protocol):
    """What compares frames with a question."""

    @property
    def name(self) -> str:
        """Say what it is called."""

    def size(self, own: tuple[int, int]) -> tuple[int, int]:
        """Choose the height and width at which a video of some size is decoded."""

    def score(self, frames: SampledFrames, question: str) -> Floats:
        """Score the frames of one video for a question, ``[T]``; higher is better."""


class DualEncoderScorer:
    """The cosine between a frame and the question, by CLIP, SigLIP and their like.

    Args:
        encoder: The encoder.
    """

    def __init__(self, encoder: DualEncoder) -> None:
        self.encoder = encoder

    @property
    def name(self) -> str:
        """Give the name of the encoder."""
        return self.encoder.name

    def size(self, own: tuple[int, int]) -> tuple[int, int]:
        """Give the size that the encoder wants."""
        return self.encoder.size(own)

    def score(self, frames: SampledFrames, question: str) -> Floats:
        """Compare each frame with the question."""
        words = self.encoder.encode_words(question).astype(np.float64)
        return self.encoder.encode_frames(frames.frames).astype(np.float64) @ words


class FocusedScorer:
    """The score that a DynFocus model gives to the event of each frame.

    Args:
        focused: A `VideoModel` whose scores see the question.

    Raises:
        ValueError: Its scores do not see the question.
    """

    def __init__(self, focused: Any) -> None:
        if not focused.scores_see_question:
            raise ValueError(
                f"the scores of {focused.name} do not see the question "
                "(score_conditioning is 'none'); name another scorer, or none"
            )
        self.focused = focused

    @property
    def name(self) -> str:
        """Give the name of the model."""
        return str(self.focused.name)

    def size(self, own: tuple[int, int]) -> tuple[int, int]:
        """Give the size that the vision tower reads."""
        side = self.focused.processor.frame_size
        return side, side

    def score(self, frames: SampledFrames, question: str) -> Floats:
        """Ask the score network; the language model does not run."""
        reports = self.focused.score_frames(frames, question)
        return np.array([report.score for report in reports])


def is_dynfocus_model(name: str) -> bool:
    """Tell a DynFocus model from an image-text encoder by its configuration.

    Args:
        name: ``"nano"``, a folder, or a name on the hub.
    """
    if name == "nano":
        return True
    from transformers import PretrainedConfig

    if not (Path(name).exists() or name.count("/") == 1):
        return False
    try:
        fields, _ = PretrainedConfig.get_config_dict(name)
    except OSError:
        return False  # loading it says what is wrong
    return fields.get("model_type") == "dynfocus"
