"""A stand-in for a dual encoder: the colour that a question names, in the frame."""

from __future__ import annotations

import numpy as np

from dynfocus.methods import FrameScorer


class WordScorer(FrameScorer):
    """Compare the mean colour of frames with the colours that words name."""

    name = "words"
    is_absolute = True
    colours = ("red", "green", "blue")

    def size(self, own: tuple[int, int]) -> tuple[int, int]:
        return own

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        mean = frames.reshape(len(frames), -1, 3).mean(1).astype(np.float32) + 1
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def encode_text(self, text: str) -> np.ndarray:
        asked = np.array([colour in text for colour in self.colours], np.float32)
        return asked / max(1.0, np.linalg.norm(asked))
