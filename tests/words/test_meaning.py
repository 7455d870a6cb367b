"""The likeness of passages, computed together and one by one."""

import random
import zlib

import numpy as np

from dynfocus.words.meaning import Meaning, compare

VOCABULARY = [f"word{number}" for number in range(40)]


class Vectors:
    """Gives every word a vector of its own, by its name."""

    def embed(self, texts, norm):
        return np.stack(
            [
                np.random.default_rng(zlib.crc32(one.encode())).normal(size=256)
                for one in texts
            ]
        ).astype(np.float32)


def unit(vector):
    return vector / max(np.linalg.norm(vector), 1e-9)


def literal(vectors, question, lines):
    """Compare one passage word by word, as `compare` says; give lines and whole."""
    asked = [vectors[one] for one in question]
    mean = unit(np.mean(asked, axis=0))
    sums = [sum((vectors[w] for w in line), np.zeros(256)) for line in lines]
    cosines = [float(unit(one) @ mean) for one in sums]
    words = sorted({word for line in lines for word in line})
    if not words:
        return cosines, 0.0
    pairs = np.array([[unit(a) @ unit(vectors[b]) for b in words] for a in asked])
    best = max(float(unit(sum(sums)) @ mean), *cosines)
    return cosines, (best + pairs.max(1).mean() + pairs.max(0).mean()) / 3


def test_passages_are_compared_together_as_one_by_one():
    draw = random.Random(0)
    passages = [
        [draw.choices(VOCABULARY, k=draw.randint(0, 5)) for _ in range(1 + n % 4)]
        for n in range(30)
    ]
    vectors = dict(
        zip(VOCABULARY, Vectors().embed(VOCABULARY, norm=False), strict=True)
    )
    question = ["word1", "word7", "word9"]
    found = compare(Meaning(Vectors()), question, passages)
    for one, lines in zip(found, passages, strict=True):
        cosines, whole = literal(vectors, question, lines)
        np.testing.assert_allclose(one.lines, cosines, atol=1e-6)
        np.testing.assert_allclose(one.whole, whole, atol=1e-6)


def test_a_passage_or_a_question_of_no_words_is_like_nothing():
    meaning = Meaning(Vectors())
    assert compare(meaning, ["word1"], [[[]], [[], []]])[1].whole == 0.0
    assert compare(meaning, [], [[["word1"]]])[0].whole == 0.0
    assert compare(meaning, ["word1"], []) == []
