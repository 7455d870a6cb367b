"""Meaning of short texts as vectors: static embeddings of words, without a network.

Letters: n texts, C width of a vector, W words of 64 bits of a code.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
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
    place: dict[str, int] = {}
    for lines in passages:
        for line in lines:
            for word in line:
                place.setdefault(word, len(place))
    vectors = meaning.word_vectors(list(place))
    asked = meaning.word_vectors(question)
    (mean,) = _to_unit(asked.mean(axis=0, keepdims=True)) if question else (asked.sum(axis=0),)  # fmt: skip
    pairs = _to_unit(asked) @ _to_unit(vectors).T  # [question words, words]
    flat = [line for lines in passages for line in lines]
    sums = _sum_rows(vectors, [[place[word] for word in line] for line in flat])
    cosines = _to_unit(sums) @ mean  # [lines of all passages]
    ends = np.cumsum([0, *(len(lines) for lines in passages)]).tolist()
    own = [range(start, stop) for start, stop in pairwise(ends)]
    wholes = _to_unit(_sum_rows(sums, own)) @ mean  # [passages]
    words = [
        sorted({place[word] for line in lines for word in line}) for lines in passages
    ]
    both = _near(pairs, words)
    found: list[Likeness] = []
    for rows, whole, near in zip(own, wholes.tolist(), both.tolist(), strict=True):
        inside = cosines[rows.start : rows.stop]
        best = max(whole, float(inside.max()))
        is_known = bool(question) and bool(words[len(found)])
        found.append(Likeness(inside, (best + near) / 3 if is_known else 0.0))
    return found


def _near(
    pairs: NDArray[np.float32], groups: Sequence[Sequence[int]]
) -> NDArray[np.float32]:
    """Compare each way: for each word the likest of the others, on average.

    Args:
        pairs: Cosines of the question's words with all words, ``[question words, words]``.
        groups: The words of each passage.

    Returns:
        The sum of both averages, ``[passages]``; of no words it is zero.
    """
    both = np.zeros(len(groups), np.float32)
    filled = [number for number, group in enumerate(groups) if group]
    if not filled or not len(pairs):
        return both
    lengths = [len(groups[number]) for number in filled]
    columns = [word for number in filled for word in groups[number]]
    starts = np.cumsum([0, *lengths[:-1]])
    asked = np.maximum.reduceat(pairs[:, columns], starts, axis=1).mean(axis=0)
    there = np.add.reduceat(pairs.max(axis=0)[columns], starts) / lengths
    both[filled] = asked + there
    return both


def _sum_rows(
    vectors: NDArray[np.float32], groups: Sequence[Sequence[int]]
) -> NDArray[np.float32]:
    """Sum some rows for each group, ``[groups, C]``; of none the sum is zero."""
    sums = np.zeros((len(groups), vectors.shape[1]), np.float32)
    filled = [number for number, group in enumerate(groups) if len(group)]
    if filled:
        lengths = [len(groups[number]) for number in filled]
        rows = [row for number in filled for row in groups[number]]
        starts = np.cumsum([0, *lengths[:-1]])
        sums[filled] = np.add.reduceat(vectors[rows], starts, axis=0)
    return sums


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
