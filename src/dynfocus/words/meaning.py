"""Meaning of short texts as vectors: static embeddings of words, without a network.

Letters: n texts, C width of a vector, W words of 64 bits of a code.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUM_BITS = 256
"""Bits of a code, one a number of the vector."""
_MOST_WORDS = 50_000
_lock = threading.Lock()


class Meaning:
    """Compare texts by meaning with the embeddings that come with wordllama.

    They are means of vectors of word pieces, so word order has no say; names and numbers
    mean nothing to them. The vectors were distilled from those of several language
    models, Llama 2 among them.
    """

    name = "wordllama-l2-supercat-256"

    def __init__(self, model: Any) -> None:
        self._model = model
        self._words: dict[str, NDArray[np.float32]] = {}

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode texts into unit vectors, ``[n, C]``; one of nothing known is zero."""
        return _to_unit(self._embed(texts))

    def word_vectors(self, words: list[str]) -> NDArray[np.float32]:
        """Give the vectors of words, ``[n, C]``, not of unit length; they are kept."""
        missing = list({word for word in words if word not in self._words})
        if missing:
            if len(self._words) + len(missing) > _MOST_WORDS:
                self._words = {}
                missing = list(set(words))
            found = self._embed(missing)
            self._words |= dict(zip(missing, found, strict=True))
        if not words:
            return np.empty((0, NUM_BITS), np.float32)
        kept = self._words
        return np.stack([kept[word] for word in words])

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        if not texts:
            return np.empty((0, NUM_BITS), np.float32)
        vectors = self._model.embed(texts, norm=False)
        return np.nan_to_num(np.asarray(vectors, np.float32))


@dataclass(frozen=True)
class Likeness:
    """How alike a passage and a question are in meaning."""

    lines: NDArray[np.float32]
    """Cosine of the question with each line, ``[lines]``."""
    whole: float
    """How alike the passage as a whole is, about 0 to 1."""


def compare(
    meaning: Meaning, question: list[str], passages: Sequence[Sequence[list[str]]]
) -> list[Likeness]:
    """Compare a question with passages by meaning.

    A passage as a whole is compared in three ways, of which the mean is taken: the
    cosine of the mean vectors, of the passage or of its best line; for each word of the
    question the cosine of the likest word of the passage; and the other way round.

    Args:
        meaning: The embeddings.
        question: The content words of the question.
        passages: The content words of each line of each passage.
    """
    words = list({word for lines in passages for line in lines for word in line})
    place = {word: number for number, word in enumerate(words)}
    vectors = meaning.word_vectors(words)
    asked = meaning.word_vectors(question)
    (mean,) = _to_unit(asked.mean(axis=0, keepdims=True)) if question else (asked.sum(axis=0),)  # fmt: skip
    pairs = _to_unit(asked) @ _to_unit(vectors).T  # [question words, words]
    found = []
    for lines in passages:
        rows = [[place[word] for word in line] for line in lines]
        sums = np.stack([vectors[row].sum(axis=0) for row in rows])
        cosines = _to_unit(sums) @ mean
        (cosine,) = _to_unit(sums.sum(axis=0, keepdims=True)) @ mean
        there = sorted({number for row in rows for number in row})
        near = pairs[:, there]
        if not near.size:
            found.append(Likeness(cosines, 0.0))
            continue
        both = near.max(axis=1).mean() + near.max(axis=0).mean()
        best = max(float(cosine), float(cosines.max()))
        found.append(Likeness(cosines, (best + float(both)) / 3))
    return found


def _to_unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.float32(1e-9))


def to_codes(vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Keep the sign of every number of vectors ``[n, C]`` as one bit, ``[n, W]``."""
    bits = np.packbits(vectors > 0, axis=1)
    return np.ascontiguousarray(bits).view(np.uint64)


def nearest_codes(
    codes: NDArray[np.uint64], code: NDArray[np.uint64], count: int
) -> NDArray[np.int64]:
    """Find the codes ``[W, n]`` that differ from one, ``[W]``, in the fewest bits.

    Returns:
        At most ``count`` rows, in no order.
    """
    if count >= codes.shape[1]:
        return np.arange(codes.shape[1])
    differing = np.zeros(codes.shape[1], np.uint16)
    for row, own in zip(codes, code, strict=True):
        differing += np.bitwise_count(row ^ own)
    return np.argpartition(differing, count)[:count]


def is_meaning_installed() -> bool:
    """Tell whether the extra ``meaning`` is installed."""
    return find_spec("wordllama") is not None


@cache
def _load() -> Meaning | None:
    if not is_meaning_installed():
        return None
    import wordllama

    folder = Path(wordllama.__file__).parent  # else it looks for a file on the hub
    model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
    return Meaning(model)


def load_meaning() -> Meaning | None:
    """Load the embeddings once; None where the extra ``meaning`` is not installed."""
    with _lock:
        return _load()
