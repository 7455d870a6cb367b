"""Frames scored by what is written or said near them.

Letters: T frames, S steps, N tokens of a step.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dynfocus.errors import UnrelatedWordsWarning
from dynfocus.methods.image_features import fit_size
from dynfocus.methods.scorers import Floats, FrameScorer
from dynfocus.methods.spending import QuestionSimilarity
from dynfocus.video import VideoReader
from dynfocus.words import Found, TimedText
from dynfocus.words.ranking import fuse_ranks
from dynfocus.words.telling import find_related

_LOOK_PIXELS = 192
_SLACK_SECONDS = 0.25
_LEAST_MEANING = 0.15
"""Where to look first may be a guess; what is told may not."""
_FADING_SECONDS = 3.0
"""How far from a place its score is a third."""

Read = Callable[[VideoReader], Sequence[TimedText]]
"""Reads the words of a video."""


def _read_all(video: VideoReader) -> list[TimedText]:
    from dynfocus.words.reading import read_words

    return read_words(video)


class TextScorer(FrameScorer):
    """Score frames by the words near them, and by their look where a scorer is given.

    Both are joined by reciprocal ranks. Where no words are about a question, a warning
    says so, and the look alone decides; without a scorer of it, nothing does.

    Args:
        pictures: What compares the pictures with the question, if anything does.
        read: Reads the words of a video; by default subtitles and the screen, kept in the
            index.
    """

    def __init__(
        self, pictures: FrameScorer | None = None, *, read: Read = _read_all
    ) -> None:
        self._pictures = pictures
        self._read = read

    @property
    def name(self) -> str:
        """Say what it is called."""
        return "text" if self._pictures is None else f"text+{self._pictures.name}"

    @property
    def pictures(self) -> FrameScorer | None:
        """What compares pictures alone."""
        return self._pictures

    def for_question(self, video: VideoReader, question: str) -> FrameScorer | None:
        """Read the words of a video, and find those that are about a question."""
        interval = (video.start, video.end)
        return self.for_words(self._read(video), question, video.path.name, interval)

    def for_words(
        self,
        texts: Sequence[TimedText],
        question: str,
        name: str,
        interval: tuple[float, float],
    ) -> FrameScorer | None:
        """Find the words of a video that are about a question, as `for_question` does.

        Args:
            texts: What is written and said in it.
            question: The question.
            name: What the video is called where nothing is found.
            interval: Begin and end of what is looked at, in seconds.
        """
        start, end = interval
        found = find_related(texts, question, _LEAST_MEANING)
        found = [one for one in found if one.start < end and one.end >= start]
        if found:
            return WordsScorer(found, self._pictures, self.name)
        falls = "the look of frames decides"
        if self._pictures is not None:
            falls = f"{self._pictures.name} decides"
        warnings.warn(
            f"nothing that is written or said in {name} is about the question: {falls}",
            UnrelatedWordsWarning,
            stacklevel=3,
        )
        return self._pictures

    def size(self, own: tuple[int, int]) -> tuple[int, int]:
        """Choose the size that the scorer of pictures wants, or a small one."""
        if self._pictures is not None:
            return self._pictures.size(own)
        return fit_size(own, min(max(own), _LOOK_PIXELS))

    def encode_frames(self, frames: NDArray[np.uint8]) -> Any:
        """Have none to give: words belong to a video; see `for_question`."""
        raise ValueError(
            "frames without a video have no words; give a file, or another scorer"
        )

    def encode_text(self, text: str) -> Any:
        """Have none to give; see `encode_frames`."""
        return self.encode_frames(np.empty(0, np.uint8))


class WordsScorer(FrameScorer):
    """Score the frames of one video for one question, whose words were found.

    Args:
        found: The places, the best first.
        pictures: What compares the pictures with the question, if anything does.
        name: What it is called.
    """

    needs_all = True

    def __init__(
        self, found: Sequence[Found], pictures: FrameScorer | None, name: str
    ) -> None:
        self._found = tuple(found)
        self._pictures = pictures
        self._name = name

    @property
    def name(self) -> str:
        """Say what it is called."""
        return self._name

    @property
    def words(self) -> tuple[Found, ...]:
        """The places, the best first."""
        return self._found

    def size(self, own: tuple[int, int]) -> tuple[int, int]:
        """Choose the size that the scorer of pictures wants, or a small one."""
        return TextScorer(self._pictures).size(own)

    def encode_frames(self, frames: NDArray[np.uint8]) -> Any:
        """Encode the pictures alone; see `encode_at`."""
        return None if self._pictures is None else self._pictures.encode_frames(frames)

    def encode_at(self, frames: NDArray[np.uint8], times: Floats) -> Any:
        """Encode frames ``[T, H, W, 3]`` with their times, ``[T]``."""
        return np.asarray(times, np.float64), self.encode_frames(frames)

    def encode_text(self, text: str) -> Any:
        """Encode the question for the pictures; its words were found before."""
        return None if self._pictures is None else self._pictures.encode_text(text)

    def describe(self, encoded_frames: Any) -> NDArray[np.float32]:
        """Give what tells frames apart: their look, where it is known, else their time."""
        times, pictures = encoded_frames
        if self._pictures is None:
            return np.asarray(times[:, None], np.float32)
        return self._pictures.describe(pictures)

    def compare(self, encoded_frames: Any, encoded_text: Any) -> Floats:
        """Score the frames of `encode_at`, all of a video together, ``[T]``."""
        times, pictures = encoded_frames
        near = self.near(times)
        if self._pictures is None:
            return near
        return fuse_ranks([near, self._pictures.compare(pictures, encoded_text)])

    def join(
        self, times: Floats, similar: QuestionSimilarity | None, num_tokens: int
    ) -> QuestionSimilarity:
        """Join words with what a scorer of pictures makes of the steps of a video.

        Args:
            times: Time of each step, ``[S]``.
            similar: What the pictures are like; None without a scorer of them.
            num_tokens: Tokens of a step, ``N``.
        """
        near = self.near(times)
        if similar is None:
            even = torch.zeros(len(times), num_tokens)
            return QuestionSimilarity(whole=torch.from_numpy(near), tokens=even)
        whole = fuse_ranks([near, similar.whole.double().cpu().numpy()])
        return replace(similar, whole=torch.from_numpy(whole), is_absolute=False)

    def near(self, times: Floats) -> Floats:
        """Score moments by the best place, less with the distance from it, ``[T]``."""
        scores = np.zeros(len(times))
        for one in self._found:
            early = one.start - _SLACK_SECONDS - times
            late = times - one.end
            away = np.maximum(0.0, np.maximum(early, late))
            scores = np.maximum(scores, one.score * np.exp(-away / _FADING_SECONDS))
        return scores
