"""Places where something is shown or said: passages rated for a query, best first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dynfocus.words.meaning import Likeness, Meaning, compare
from dynfocus.words.moments import Passage
from dynfocus.words.query import Query
from dynfocus.words.ranking import Fit, QueryTerms, rate
from dynfocus.words.terms import content_words
from dynfocus.words.timed_text import TimedText

_SHORTEST_WORD = 3


@dataclass(frozen=True, kw_only=True)
class Found:
    """A place where something is shown or said."""

    video: str
    """The file or address."""
    start: float
    """When the text that fits best begins, in seconds."""
    end: float
    """When it ends."""
    text: str
    """The text that fits best."""
    passage: tuple[TimedText, ...]
    """The texts around it: those on the screen with it, or its sentence."""
    source: str
    """Whether it is in subtitles, in a transcript or on the screen."""
    score: float
    """How well it fits; see `dynfocus.words.ranking`."""
    words: float
    """The part that words have in the score."""
    meaning: float | None
    """The part that meaning has; None without embeddings."""
    is_related: bool
    """Whether it is about what was asked, and not only the best there is."""

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Origin:
    """The video of a passage."""

    name: str
    duration: float | None


def rate_passages(
    passages: Mapping[int, tuple[Origin, Passage]],
    query: Query,
    terms: QueryTerms,
    meaning: Meaning | None,
) -> list[Found]:
    """Rate passages, and put the best first; of equals the earlier.

    Args:
        passages: The passages by number, each with its video.
        query: The query; what lies outside of its times is left out.
        terms: Its terms, spelt as the texts spell them.
        meaning: The embeddings, where they are installed.
    """
    inside = [
        (origin.name, passage)
        for origin, passage in passages.values()
        if _is_inside(passage, query, origin.duration)
    ]
    alike: list[Likeness | None] = [None] * len(inside)
    asked = [word for word in query.words if _has_meaning(word)]
    if meaning is not None and asked:
        lines = [[content_words(line) for line in p.words] for _, p in inside]
        alike = [*compare(meaning, asked, lines)]
    rated = []
    for (name, passage), likeness in zip(inside, alike, strict=True):
        fit = rate(passage, query, terms, likeness)
        if fit is not None:
            rated.append(_found(name, passage, fit))
    return sorted(rated, key=lambda one: (-one.score, one.video, one.start))


def _has_meaning(word: str) -> bool:
    """Tell a word from a number or a part of a code, which embeddings know nothing of."""
    return len(word) >= _SHORTEST_WORD and word.isalpha()


def _is_inside(passage: Passage, query: Query, duration: float | None) -> bool:
    start, end = query.start, query.end
    if query.last is not None:
        start = max(start, (duration or passage.end) - query.last)
    return passage.end >= start and passage.start < end


def _found(name: str, passage: Passage, fit: Fit) -> Found:
    text = passage.texts[fit.line]
    return Found(
        video=name,
        start=text.start,
        end=text.end,
        text=text.text,
        passage=passage.texts,
        source=text.source,
        score=fit.score,
        words=fit.words,
        meaning=fit.meaning,
        is_related=fit.is_related,
    )
