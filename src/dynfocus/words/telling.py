"""Words of a video as text for a language model: what is about a question, with times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from dynfocus.words.finding import Found
from dynfocus.words.library import WordsLibrary
from dynfocus.words.ranking import RELATED_MEANING
from dynfocus.words.timed_text import TimedText

_HEADING = "Read in the video (minutes:seconds, where, text):"
_WHERE = {"screen": "on screen", "subtitle": "subtitle", "transcript": "said"}
_MOST_PLACES = 64


def find_related(
    texts: Sequence[TimedText], question: str, least_meaning: float = RELATED_MEANING
) -> list[Found]:
    """Find the places of a video that are about a question, the best first.

    Args:
        texts: What is written and said in it.
        question: The question; times in it count.
        least_meaning: How alike in meaning a place must be whose words are others.
    """
    if not texts:
        return []
    found = _library(tuple(texts)).search(question, limit=_MOST_PLACES)
    return [
        one for one in found if one.is_related or (one.meaning or 0.0) >= least_meaning
    ]


def tell_words(
    found: Sequence[Found], most_tokens: int, count: Callable[[str], int]
) -> tuple[str, list[Found]]:
    """Write places into a prompt, the best that fit, in order of time.

    Args:
        found: The places, the best first.
        most_tokens: Tokens that the text may have.
        count: Counts the tokens of a text.

    Returns:
        The text, empty where not even the best place fits, and the places in it.
    """
    text, told = "", list[Found]()
    for one in found:
        longer = sorted([*told, one], key=lambda place: place.start)
        written = "\n".join([_HEADING, *map(_write, longer)])
        if count(written) > most_tokens:
            break
        text, told = written, longer
    return text, told


def clock(seconds: float) -> str:
    """Write a time as minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"


def passage_text(found: Found) -> str:
    """Give what stands around a place in one line."""
    return " / ".join(" ".join(one.text.split()) for one in found.passage)


def _write(found: Found) -> str:
    return f"{clock(found.start)} {_WHERE[found.source]}: {passage_text(found)}"


@lru_cache(maxsize=4)
def _library(texts: tuple[TimedText, ...]) -> WordsLibrary:
    return WordsLibrary.of(texts)
