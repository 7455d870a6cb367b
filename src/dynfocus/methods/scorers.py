"""Scorers: what compares frames with words, such as CLIP, SigLIP or a model of ours.

Letters: T frames, C width of the features.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from dynfocus.methods.image_features import fit_size

if TYPE_CHECKING:
    from dynfocus.video import VideoReader
    from dynfocus.words import Found

Floats = NDArray[np.float64]

_MOST_PIXELS = 448
_BATCH = 32


class FrameScorer(Protocol):
    """Compares frames with words. A subclass encodes both; the scores follow."""

    needs_all: bool = False
    """Whether the frames of a video are compared all together, or not at all."""
    is_absolute: bool = False
    """Whether scores of frames of different videos compare, as cosines do."""

    @property
    def name(self) -> str:
        """Say what it is called."""

    def size(self, own: tuple[int, int]) -> tuple[int, int]:
        """Choose the height and width at which a video of some size is decoded."""

    def encode_frames(self, frames: NDArray[np.uint8]) -> Any:
        """Encode frames ``[T, H, W, 3]``, a dual encoder into unit vectors ``[T, C]``."""

    def encode_text(self, text: str) -> Any:
        """Encode words, a dual encoder into a unit vector ``[C]``."""

    @property
    def pictures(self) -> FrameScorer | None:
        """What compares pictures alone: itself, unless it knows more of a video."""
        return self

    @property
    def words(self) -> tuple[Found, ...]:
        """Places of the video with words about the question, where it knows them."""
        return ()

    def for_question(self, video: VideoReader, question: str) -> FrameScorer | None:
        """Give what compares the frames of a video with a question.

        Returns:
            Itself, where the picture is all it needs; None where nothing is known.
        """
        return self

    def encode_at(self, frames: NDArray[np.uint8], times: Floats) -> Any:
        """Encode frames ``[T, H, W, 3]`` with their times in seconds, ``[T]``."""
        return self.encode_frames(frames)

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


class DualEncoder(FrameScorer):
    """Encode pictures and words into one space.

    Args:
        name: A folder or a name on the hub.

    Raises:
        FileNotFoundError: It cannot be loaded.
        ValueError: It does not compare pictures with words.
    """

    is_absolute = True

    def __init__(self, name: str) -> None:
        from transformers import AutoModel, AutoProcessor

        self._name = name
        self.model = _load(AutoModel, name).eval()
        if not hasattr(self.model, "get_text_features"):
            raise ValueError(
                f"{name} is a {type(self.model).__name__}, which does not compare "
                "pictures with words; name a dual encoder such as CLIP or SigLIP"
            )
        self.processor = _load(AutoProcessor, name)
        self._read("")  # the first call sets its tokenizer, which two threads must not

    @property
    def name(self) -> str:
        """Give the name that it was loaded by."""
        return self._name

    def size(self, own: tuple[int, int]) -> tuple[int, int]:
        """Choose the height and width at which a video of some size is decoded.

        The longer side is 448 pixels at most; the processor crops and resizes.
        """
        return fit_size(own, min(max(own), _MOST_PIXELS))

    @torch.inference_mode()
    def encode_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode frames of uint8, ``[T, H, W, 3]``, into unit vectors, ``[T, C]``."""
        parts = []
        for start in range(0, len(frames), _BATCH):
            pictures = list(frames[start : start + _BATCH])
            inputs = self.processor(images=pictures, return_tensors="pt")
            parts.append(_features(self.model.get_image_features(**inputs)))
        return np.concatenate(parts)

    @torch.inference_mode()
    def encode_text(self, text: str) -> NDArray[np.float32]:
        """Encode words into a unit vector, ``[C]``; what is too long is cut."""
        (encoded,) = _features(self.model.get_text_features(**self._read(text)))
        return encoded

    def _read(self, text: str) -> Any:
        return self.processor(
            text=[text], return_tensors="pt", padding="max_length", truncation=True
        )


def _load(kind: Any, name: str) -> Any:
    from dynfocus.defaults import locate

    try:
        return kind.from_pretrained(locate(name))
    except (OSError, ValueError) as error:  # not there, or no model of transformers
        reason = " ".join(str(error).split())
        raise FileNotFoundError(
            f"the encoder {name!r} could not be loaded: {reason}"
        ) from error


def _features(output: Any) -> NDArray[np.float32]:
    """Take the features from a tensor, or from an output that pools them."""
    if not isinstance(output, torch.Tensor):
        output = output.pooler_output
    array: NDArray[np.float32] = F.normalize(output.float(), dim=1).numpy()
    return array


TEXT = "text"
"""Name of the scorer that goes by what is written and said; see `TextScorer`."""


def load_scorer(scorer: str | Path | FrameScorer | None) -> FrameScorer | None:
    """Load a scorer by name: ``"text"``, a dual encoder, or ``"text+"`` and one.

    Args:
        scorer: The name or folder; anything else is a scorer already.
    """
    if not isinstance(scorer, str | Path):
        return scorer
    name = str(scorer)
    if name.partition("+")[0] != TEXT:
        return DualEncoder(name)
    from dynfocus.methods.text_scorer import TextScorer

    other = name.partition("+")[2]
    return TextScorer(DualEncoder(other) if other else None)
