"""Image-text encoders that compare pictures with words: CLIP, SigLIP and their like.

Letters: T frames, C width of the features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from dynfocus.defaults import locate
from dynfocus.methods.image_features import fit_size
from dynfocus.methods.scorers import FrameScorer

_MOST_PIXELS = 448
_BATCH = 32


class DualEncoder(FrameScorer):
    """Encode pictures and words into one space.

    Args:
        name: A folder or a name on the hub.

    Raises:
        FileNotFoundError: It cannot be loaded.
        ValueError: It does not compare pictures with words.
    """

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
