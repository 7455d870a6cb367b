"""How well a passage fits a query: its words, however they are spelt, and its meaning.

A passage's score is the sum of three parts, each about 0 to 1:

- words: the share of the query's terms that are in it, each weighted by how rare it is
  (the inverse document frequency of BM25) and by how alike its spelling is;
- order: the share of neighbours in the query that are neighbours in it;
- meaning: the likeness of static embeddings, where these are installed.

Words are exact where names and codes are asked for, and find nothing where a question
says the same in other words; with embeddings it is the other way round. So both are
summed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dynfocus.words.meaning import Likeness
from dynfocus.words.moments import Passage
from dynfocus.words.query import Query
from dynfocus.words.terms import stem

LINE_SHARE = 0.3
"""How much of the words' part the best line of a passage decides; the passage the rest."""
ORDER_WEIGHT = 0.2
MEANING_WEIGHT = 1.5
RELATED_MEANING = 0.2
"""Likeness in meaning from which on a text is about what is asked."""
RELATED_WORDS = 0.35
"""Share of a query's terms from which on a text is about what is asked."""

Variants = Mapping[str, Mapping[str, float]]
"""For each term of a query the terms that stand for it, with how alike they are."""


@dataclass(frozen=True, kw_only=True)
class QueryTerms:
    """The terms of a query as the texts that are searched spell them."""

    variants: Variants
    """Spellings by term; empty for a term that is nowhere."""
    weights: Mapping[str, float]
    """How rare each term is."""

    @cached_property
    def _whole(self) -> float:
        return sum(self.weights.values())

    @cached_property
    def _stands_for(self) -> dict[str, dict[str, float]]:
        """For each spelling the terms that it stands for, with how alike they are."""
        found: dict[str, dict[str, float]] = {}
        for term, spellings in self.variants.items():
            for one, like in spellings.items():
                found.setdefault(one, {})[term] = like
        return found

    def share(self, terms: Collection[str]) -> float:
        """Give the weighted share of the query's terms among some, from 0 to 1."""
        best: dict[str, float] = {}
        for one in self._stands_for.keys() & terms:
            for term, like in self._stands_for[one].items():
                best[term] = max(like, best.get(term, 0.0))
        if not best or not self._whole:
            return 0.0
        found = sum(
            weight * best[term] for term, weight in self.weights.items() if term in best
        )
        return found / self._whole

    def order(self, wanted: Sequence[str], terms: Sequence[str]) -> float:
        """Give the share of neighbours in the query that are neighbours among terms."""
        pairs = list(zip(wanted, wanted[1:], strict=False))
        if not pairs:
            return 0.0
        stands_for = self._stands_for
        near = {
            (first, second)
            for one, other in zip(terms, terms[1:], strict=False)
            if one in stands_for and other in stands_for
            for first in stands_for[one]
            for second in stands_for[other]
        }
        return sum(pair in near for pair in pairs) / len(pairs)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How well a passage fits a query."""

    words: float
    """Share of the query's terms, and their order, from 0."""
    meaning: float | None
    """How alike it is in meaning; None without embeddings."""
    line: int
    """The line that fits best."""

    @property
    def score(self) -> float:
        """The sum by which passages are ranked."""
        return self.words + MEANING_WEIGHT * max(0.0, self.meaning or 0.0)

    @property
    def is_related(self) -> bool:
        """Tell whether the passage is about what is asked, by words or by meaning."""
        return (
            self.words >= RELATED_WORDS
            or (self.meaning or 0.0) >= RELATED_MEANING
        )  # fmt: skip


def rate(
    passage: Passage,
    query: Query,
    terms: QueryTerms,
    likeness: Likeness | None = None,
) -> Fit | None:
    """Rate a passage for a query.

    Args:
        passage: The passage.
        query: The query.
        terms: Its terms, spelt as the texts spell them.
        likeness: How alike they are in meaning, where that is known.

    Returns:
        How well it fits; None where a phrase in quotes is not in it. To a query of times
        alone everything fits.
    """
    if not query.terms:
        return Fit(words=1.0, meaning=None, line=0)
    lines = [[stem(word) for word in line] for line in passage.words]
    whole = [term for line in lines for term in line]
    if not all(_holds(whole, phrase) for phrase in query.phrases):
        return None
    shares = np.array([terms.share(set(line)) for line in lines])
    best = shares if likeness is None else shares + MEANING_WEIGHT * likeness.lines
    line = int(best.argmax())
    words = (1 - LINE_SHARE) * terms.share(set(whole)) + LINE_SHARE * float(
        shares[line]
    )
    words += ORDER_WEIGHT * terms.order(query.terms, whole)
    meaning = None if likeness is None else likeness.whole
    return Fit(words=words, meaning=meaning, line=line)


def _holds(terms: Sequence[str], phrase: Sequence[str]) -> bool:
    """Tell whether a phrase stands among terms, in a row."""
    size, wanted = len(phrase), list(phrase)
    return any(
        list(terms[place : place + size]) == wanted
        for place in range(len(terms) - size + 1)
    )


def fuse_ranks(scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Join scores that do not compare by their ranks: reciprocal-rank fusion.

    Each item gets the sum of ``1 / (60 + rank)`` over the lists; equals share a rank.

    Args:
        scores: Scores of the same items, ``[n]`` each; higher is better.

    Returns:
        ``[n]``; higher is better.
    """
    fused = np.zeros(len(scores[0]))
    for one in scores:
        different, places = np.unique(-one, return_inverse=True)
        smaller = np.bincount(places, minlength=len(different)).cumsum()
        ranks = np.concatenate([[0], smaller[:-1]])[places]
        fused += 1 / (_RANK_OFFSET + 1 + ranks)
    return fused


_RANK_OFFSET = 60
